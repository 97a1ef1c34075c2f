# lua-cjson for Lua 5.1; luaopen_cjson is registered by bindings/. Programs take the objects of its
# archive (hvlua, and libhvlua.a, so that its users need not name it); the archive is not made for
# shared objects, which take the shared library.
find_library(HV_CJSON_ARCHIVE liblua5.1-cjson.a REQUIRED)
find_library(HV_CJSON_SHARED NAMES lua5.1-cjson REQUIRED)
set(cjson_dir ${PROJECT_BINARY_DIR}/cjson)
file(MAKE_DIRECTORY ${cjson_dir})
execute_process(COMMAND ${CMAKE_AR} x ${HV_CJSON_ARCHIVE} WORKING_DIRECTORY ${cjson_dir}
    COMMAND_ERROR_IS_FATAL ANY)
file(GLOB HV_CJSON_OBJECTS ${cjson_dir}/*.o)
