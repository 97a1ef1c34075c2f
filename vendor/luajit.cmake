# LuaJIT. hv_luajit: statically and whole, because C modules that a script loads look for any lua_*
# in hvlua. hv_luajit_headers: for libraries, whose users choose.
find_package(PkgConfig REQUIRED)
pkg_check_modules(HV_LUAJIT REQUIRED luajit>=${HV_LUAJIT_VERSION_MIN})
find_library(HV_LUAJIT_ARCHIVE libluajit-5.1.a HINTS ${HV_LUAJIT_LIBRARY_DIRS}
    ${HV_LUAJIT_LIBDIR} REQUIRED)

# luarocks names the headers of its Lua 5.1, which are LuaJIT's only where it was told so.
if(HV_LUA_INCLUDE_DIR AND EXISTS ${HV_LUA_INCLUDE_DIR}/luajit.h)
    set(HV_LUAJIT_INCLUDE_DIRS ${HV_LUA_INCLUDE_DIR})
endif()

add_library(hv_luajit_headers INTERFACE)
target_include_directories(hv_luajit_headers SYSTEM INTERFACE ${HV_LUAJIT_INCLUDE_DIRS})

add_library(hv_luajit INTERFACE)
target_include_directories(hv_luajit SYSTEM INTERFACE ${HV_LUAJIT_INCLUDE_DIRS})
target_link_libraries(hv_luajit INTERFACE
    -Wl,--whole-archive ${HV_LUAJIT_ARCHIVE} -Wl,--no-whole-archive -Wl,-E dl m pthread)
