# Writes one C file that holds every Lua module below ROOT.
#
#   cmake -DROOT=<dir of lua/> -DOUTPUT=<file.c> -P embed_lua.cmake
#
# lua/hv/init.lua becomes "hv", lua/hv/tcp.lua "hv.tcp"; lua/hv/dashboard.css becomes a module
# "hv.dashboard_css" that returns its text; the stubs lua/meta/tcp.lua ... are "hv.meta.tcp", whose
# text the prompt's .help reads. A file is written as a list of byte values:
# slower to read for people than a string, but no byte needs escaping and no length is too long.

file(GLOB_RECURSE files RELATIVE "${ROOT}" "${ROOT}/hv/*.lua" "${ROOT}/hv/*.html"
    "${ROOT}/hv/*.css" "${ROOT}/hv/*.js" "${ROOT}/meta/*.lua")

set(modules "")
foreach(file IN LISTS files)
    string(REGEX REPLACE "\\.lua$" "" name "${file}")
    string(REGEX REPLACE "/init$" "" name "${name}")
    string(REGEX REPLACE "\\.(html|css|js)$" "_\\1" name "${name}")
    string(REGEX REPLACE "^meta/" "hv/meta/" name "${name}")
    string(REPLACE "/" "." name "${name}")
    # The space between sorts before every character of a name, so the names are in order.
    list(APPEND modules "${name} ${file}")
endforeach()
list(SORT modules)

set(arrays "")
set(rows "")
set(count 0)
foreach(module IN LISTS modules)
    string(REGEX MATCH "^([^ ]*) (.*)$" _ "${module}")
    set(name "${CMAKE_MATCH_1}")
    set(file "${CMAKE_MATCH_2}")
    file(READ "${ROOT}/${file}" hex HEX)
    if(NOT file MATCHES "\\.lua$")
        # return [=====[ text ]=====]; Lua drops a line break right behind the bracket.
        set(hex "72657475726e205b3d3d3d3d3d5b0a${hex}5d3d3d3d3d3d5d")
    endif()
    string(LENGTH "${hex}" length)
    math(EXPR length "${length} / 2")
    string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
    string(APPEND arrays "/* lua/${file} */\nstatic const unsigned char module_${count}[] = {\n"
        "${hex}0x00};\n\n")
    string(APPEND rows
        "    {\"${name}\", (const char *)module_${count}, ${length}},\n")
    math(EXPR count "${count} + 1")
endforeach()

file(WRITE "${OUTPUT}"
    "/* Made by bindings/embed_lua.cmake; changes here are lost. */\n#include \"embedded.h\"\n\n"
    "${arrays}"
    "const struct hv_embedded_module hv_embedded_modules[] = {\n${rows}    {NULL, NULL, 0},\n};\n"
    "const size_t hv_embedded_module_count = ${count};\n")
