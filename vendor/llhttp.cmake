# llhttp: an HTTP/1 tokeniser, compiled from the generated C source of the package node-llhttp.
set(HV_LLHTTP_DIR /usr/share/llhttp CACHE PATH "Folder of llhttp's api.c, http.c and llhttp.c")
set(HV_LLHTTP_INCLUDE_DIR /usr/share/include/llhttp CACHE PATH "Folder of llhttp.h")

foreach(file ${HV_LLHTTP_DIR}/llhttp.c ${HV_LLHTTP_INCLUDE_DIR}/llhttp.h)
    if(NOT EXISTS ${file})
        message(FATAL_ERROR "${file} is missing: install node-llhttp, or set HV_LLHTTP_DIR and "
            "HV_LLHTTP_INCLUDE_DIR")
    endif()
endforeach()

file(STRINGS ${HV_LLHTTP_INCLUDE_DIR}/llhttp.h lines
    REGEX "^#define LLHTTP_VERSION_(MAJOR|MINOR) +[0-9]+")
string(REGEX REPLACE "[^0-9;]" "" lines "${lines}")
string(REPLACE ";" "." llhttp_version "${lines}")
if(llhttp_version VERSION_LESS HV_LLHTTP_VERSION_MIN)
    message(FATAL_ERROR "llhttp ${llhttp_version} is older than ${HV_LLHTTP_VERSION_MIN}")
endif()

# Objects and not an archive: they become part of libhv.a, so that programs link with -lhv alone.
add_library(hv_llhttp OBJECT
    ${HV_LLHTTP_DIR}/api.c ${HV_LLHTTP_DIR}/http.c ${HV_LLHTTP_DIR}/llhttp.c)
target_include_directories(hv_llhttp SYSTEM PUBLIC ${HV_LLHTTP_INCLUDE_DIR})
target_compile_definitions(hv_llhttp PUBLIC LLHTTP_STRICT_MODE=1)
# Generated code: its warnings are not ours to mend, nor are the shifts that UBSan dislikes.
target_compile_options(hv_llhttp PRIVATE -w $<$<BOOL:${HV_ASAN}>:-fno-sanitize=undefined>)
