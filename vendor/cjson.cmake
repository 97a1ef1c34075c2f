# lua-cjson for Lua 5.1, linked statically; luaopen_cjson is registered by bindings/.
find_library(HV_CJSON_ARCHIVE liblua5.1-cjson.a REQUIRED)
add_library(hv_cjson INTERFACE)
target_link_libraries(hv_cjson INTERFACE ${HV_CJSON_ARCHIVE} m)
