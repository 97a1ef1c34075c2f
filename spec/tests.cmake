# Every test of this build as a ctest entry. Labels: unit (spec/c), spec (Lua), fault, fuzz, lint.
#
# Names of tests of a lane begin with its name ("asan.test_hbuf"), so that one ctest can run several
# builds and still say which one failed.

set(prefix "")
if(HV_LANE)
    set(prefix "${HV_LANE}.")
endif()
# A sanitizer makes code two to five times slower; a timeout only has to catch what hangs.
set(timeout 60)
if(sanitizers OR HV_HOSTILE OR HV_VALGRIND)
    set(timeout 240)
endif()
set(sanitizer_env
    ASAN_OPTIONS=detect_leaks=1:abort_on_error=0:strict_string_checks=1:detect_stack_use_after_return=1
    UBSAN_OPTIONS=print_stacktrace=1
    TSAN_OPTIONS=halt_on_error=1)

# In hostile builds everything runs with the collector at every callback and descriptors in any order.
# A byte a call is for what cuts and parses; what moves megabytes, or says in how many pieces something
# comes, has no limit there.
set(whole_pieces "^test_(fault_bindings|fault_gateway|fault_http2|fault_h2_tunnel|fault_tls|h2_limits|h2_tunnel|htls|hio_threads|hmain_program|hmaster|hws)$")
set(single_bytes "^(test_.*|hv\\.(channel|coroutines|dashboard|http|http_cookies|http_example|http_headers|http_router|metrics|mqtt|scope|shared|task|timer|unpack|wait)_spec)$")
function(hv_hostile_env name out)
    set(bytes 0)
    if(name MATCHES "${single_bytes}" AND NOT name MATCHES "${whole_pieces}")
        set(bytes 1)
    endif()
    set(${out} "HV_HOSTILE_BYTES=${bytes}" PARENT_SCOPE)
endfunction()

# What several tests need (guard pages ...) is compiled once.
file(GLOB support_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/spec/support/*.c)
set(support "")
if(support_sources)
    add_library(hv_spec_support STATIC ${support_sources})
    set_target_properties(hv_spec_support PROPERTIES C_EXTENSIONS OFF)
    target_include_directories(hv_spec_support PUBLIC ${PROJECT_SOURCE_DIR}/spec/support
        PRIVATE ${room_dirs})
    target_link_libraries(hv_spec_support PRIVATE hv_own OpenSSL::Crypto PUBLIC hv_static)
    set(support hv_spec_support)
endif()

# Adds the unit test `source`; it sees the private headers of every room.
function(hv_add_unit_test source label)
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} ${source})
    set_target_properties(${name} PROPERTIES C_EXTENSIONS OFF
        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/spec)
    target_include_directories(${name} PRIVATE ${room_dirs})
    target_include_directories(${name} SYSTEM PRIVATE ${CMOCKA_INCLUDE_DIRS}
        ${HV_LLHTTP_INCLUDE_DIR})
    target_link_libraries(${name} PRIVATE hv_own ${support} hv_static ${CMOCKA_LINK_LIBRARIES} m)
    if(name MATCHES "^test_(hvlua|fault_bindings)")
        target_link_libraries(${name} PRIVATE hvlua_static hv_luajit_headers)
    endif()
    hv_hostile_env(${name} hostile)
    add_test(NAME ${prefix}${name} COMMAND ${under_valgrind} $<TARGET_FILE:${name}>
        WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
    set_tests_properties(${prefix}${name} PROPERTIES LABELS ${label} TIMEOUT ${timeout}
        ENVIRONMENT "${hostile};${sanitizer_env}")
endfunction()

# Adds a busted spec, run by hvlua itself.
function(hv_add_spec source label)
    file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR} ${source})
    string(REGEX REPLACE "^spec/(.*)\\.lua$" "\\1" name ${path})
    string(REPLACE "/" "." name ${name})
    hv_hostile_env(${name} hostile)
    add_test(NAME ${prefix}${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}
        COMMAND ${under_valgrind} $<TARGET_FILE:hvlua> --test --output=TAP ${path})
    set_tests_properties(${prefix}${name} PROPERTIES LABELS ${label} TIMEOUT ${timeout}
        ENVIRONMENT "HVLUA=$<TARGET_FILE:hvlua>;HV_BUILD_DIR=${PROJECT_BINARY_DIR};${hostile};${sanitizer_env}")
endfunction()

# Adds a fuzz target: a first run over its corpus, then HV_FUZZ_SECONDS of new inputs. What it finds
# goes into the build tree; a finding worth keeping is copied to spec/fuzz/corpus by hand.
function(hv_add_fuzz_target source)
    get_filename_component(name ${source} NAME_WE)
    set(found ${PROJECT_BINARY_DIR}/fuzz/${name})
    set(corpus ${PROJECT_SOURCE_DIR}/spec/fuzz/corpus/${name})
    set(dictionary ${PROJECT_SOURCE_DIR}/spec/fuzz/dict/${name}.dict)
    file(MAKE_DIRECTORY ${found})
    set(arguments -seed=1 -max_total_time=${HV_FUZZ_SECONDS} -timeout=10 -rss_limit_mb=1024
        -print_final_stats=1 -artifact_prefix=${found}/)
    if(EXISTS ${dictionary})
        list(APPEND arguments -dict=${dictionary})
    endif()
    list(APPEND arguments ${found})
    if(IS_DIRECTORY ${corpus})
        list(APPEND arguments ${corpus})
    endif()
    math(EXPR fuzz_timeout "${HV_FUZZ_SECONDS} * 2 + 60")

    add_executable(${name} ${source})
    set_target_properties(${name} PROPERTIES C_EXTENSIONS OFF
        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/spec)
    target_include_directories(${name} PRIVATE ${room_dirs})
    target_include_directories(${name} SYSTEM PRIVATE ${HV_LLHTTP_INCLUDE_DIR})
    target_link_libraries(${name} PRIVATE hv_own ${support} hv_static)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME ${prefix}${name} COMMAND ${name} ${arguments})
    set_tests_properties(${prefix}${name} PROPERTIES LABELS fuzz TIMEOUT ${fuzz_timeout}
        ENVIRONMENT "${sanitizer_env}")
endfunction()

if(HV_FUZZ)
    file(GLOB fuzz_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/spec/fuzz/fuzz_*.c)
    foreach(source IN LISTS fuzz_sources)
        hv_add_fuzz_target(${source})
    endforeach()
    return()
endif()

find_package(PkgConfig REQUIRED)
pkg_check_modules(CMOCKA REQUIRED cmocka>=${HV_CMOCKA_VERSION_MIN})

file(GLOB unit_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/spec/c/test_*.c)
if(HV_TSAN)
    # Only what has threads has races; everything else would only be slow.
    list(FILTER unit_sources INCLUDE REGEX
        "test_(hio_threads|hio_write|hloop|hnest|hvlua_threads|hwake|hlog|nlog|hpool|hfs|hloop_group|hdict|hchannel)\\.c$")
endif()
if(HV_VALGRIND)
    # What reads bytes that others have written, and is done in seconds at a thirtieth of the speed.
    list(FILTER unit_sources INCLUDE REGEX
        "test_(h1_parse|h1_reply|h1_wire|h1_write|h2_client|h2_limits|h2_ping|h2_server|h2_tunnel|http_query|http_trailers|http_router|hunpack|hbuf|hdns|hudp|htimer|hloop|hnest|hio_read|hpipe)\\.c$")
    set(under_valgrind bash ${PROJECT_SOURCE_DIR}/spec/tools/valgrind.sh)
endif()
foreach(source IN LISTS unit_sources)
    hv_add_unit_test(${source} unit)
endforeach()
if(HV_TSAN)
    return()
endif()
if(HV_VALGRIND)
    foreach(name udp unpack coroutines timer crypto wait channel semaphore http_request)
        hv_add_spec(${PROJECT_SOURCE_DIR}/spec/hv/${name}_spec.lua spec)
    endforeach()
    return()
endif()

set(spec_rooms hv bindings e2e proc docs regress pairs)
if(HV_FAULT_INJECTION)
    list(APPEND spec_rooms fault)
    file(GLOB fault_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/spec/fault/test_*.c)
    foreach(source IN LISTS fault_sources)
        hv_add_unit_test(${source} fault)
    endforeach()
endif()
foreach(room IN LISTS spec_rooms)
    file(GLOB specs CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/spec/${room}/*_spec.lua)
    set(label spec)
    if(room STREQUAL fault)
        set(label fault)
    endif()
    foreach(spec IN LISTS specs)
        if(has_hvlua)
            hv_add_spec(${spec} ${label})
        endif()
    endforeach()
endforeach()

if(HV_EXAMPLES)
    include(spec/tools/tools.cmake)
    if(NOT HV_HOSTILE) # they judge what is installed
        include(spec/programs/programs.cmake)
    endif()
endif()
include(spec/proc/proc.cmake)

# `require "hv"` in a stock luajit, which no sanitizer is linked into; and the rock.
find_program(LUAJIT luajit REQUIRED)
if(NOT sanitizers AND NOT HV_HOSTILE AND has_hvlua)
    add_test(NAME ${prefix}rock.stock COMMAND bash ${PROJECT_SOURCE_DIR}/spec/rock/stock.sh ${LUAJIT}
        WORKING_DIRECTORY ${PROJECT_BINARY_DIR})
    set_tests_properties(${prefix}rock.stock PROPERTIES LABELS rock TIMEOUT ${timeout} ENVIRONMENT
        "LUA_PATH=${PROJECT_SOURCE_DIR}/lua/?.lua\;${PROJECT_SOURCE_DIR}/lua/?/init.lua\;\;;LUA_CPATH=${PROJECT_BINARY_DIR}/lib/lua/5.1/?.so\;\;")
    add_test(NAME ${prefix}rock.make COMMAND bash ${PROJECT_SOURCE_DIR}/spec/rock/rock.sh
        ${PROJECT_SOURCE_DIR} ${LUAJIT})
    set_tests_properties(${prefix}rock.make PROPERTIES LABELS rock TIMEOUT 600 PROCESSORS 2)
endif()

# What fails from outside, by a library that is loaded before the program: a sanitizer has its own.
if(NOT sanitizers AND NOT HV_HOSTILE AND has_hvlua AND CMAKE_SYSTEM_NAME STREQUAL Linux)
    add_library(hv_no_memory MODULE ${PROJECT_SOURCE_DIR}/spec/preload/no_memory.c)
    target_include_directories(hv_no_memory PRIVATE ${room_dirs} runtime/include)
    target_link_libraries(hv_no_memory PRIVATE hv_own ${CMAKE_DL_LIBS})
    hv_add_spec(${PROJECT_SOURCE_DIR}/spec/preload/line_editor_spec.lua spec)
    set_property(TEST ${prefix}preload.line_editor_spec APPEND PROPERTY ENVIRONMENT
        "HV_NO_MEMORY=$<TARGET_FILE:hv_no_memory>")
endif()

# The text of the tree is the same in every lane, so one of them judges it.
if(NOT sanitizers AND NOT HV_HOSTILE)
    find_program(LUACHECK luacheck REQUIRED)
    set(lint ${PROJECT_SOURCE_DIR}/spec/lint)
    # The judges are judged: each must object to what is wrong on purpose.
    foreach(judge layers linkage shape)
        add_test(NAME ${prefix}lint_${judge} COMMAND ${LUAJIT} ${lint}/${judge}.lua
            ${PROJECT_SOURCE_DIR})
        add_test(NAME ${prefix}lint_${judge}_objects COMMAND ${LUAJIT} ${lint}/selftest.lua
            ${lint}/${judge}.lua ${PROJECT_BINARY_DIR}/lint/${judge})
        set_tests_properties(${prefix}lint_${judge} ${prefix}lint_${judge}_objects PROPERTIES
            LABELS lint TIMEOUT 60)
    endforeach()
    add_test(NAME ${prefix}lint_lua COMMAND ${LUACHECK} -q --no-cache . WORKING_DIRECTORY
        ${PROJECT_SOURCE_DIR})
    file(WRITE ${PROJECT_BINARY_DIR}/lint/bad.lua "local unused = 1\nleaked = 2\n")
    add_test(NAME ${prefix}lint_lua_objects COMMAND ${LUACHECK} -q --no-cache --config
        ${PROJECT_SOURCE_DIR}/.luacheckrc ${PROJECT_BINARY_DIR}/lint/bad.lua)
    set_tests_properties(${prefix}lint_lua_objects PROPERTIES WILL_FAIL ON)
    set_tests_properties(${prefix}lint_lua ${prefix}lint_lua_objects PROPERTIES LABELS lint
        TIMEOUT 60)
endif()
