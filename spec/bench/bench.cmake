# The load clients and the servers written in C, built into build/bench by the target bench_clients.
# A peer whose library is missing is left out.

set(bench ${PROJECT_SOURCE_DIR}/spec/bench)
add_custom_target(bench_clients)

# Adds build/bench/<name> from one source; further arguments are what it is linked with.
function(hv_add_bench name source)
    add_executable(bench_${name} EXCLUDE_FROM_ALL ${bench}/${source})
    set_target_properties(bench_${name} PROPERTIES OUTPUT_NAME ${name}
        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
    target_compile_options(bench_${name} PRIVATE -Wall -Wextra)
    target_link_libraries(bench_${name} PRIVATE ${ARGN})
    add_dependencies(bench_clients bench_${name})
endfunction()

if(HV_FUZZ)
    return()
endif()

hv_add_bench(netload netload.c)
hv_add_bench(tlsload tlsload.c OpenSSL::SSL)
hv_add_bench(limit_epoll limit_epoll.c OpenSSL::Crypto)
hv_add_bench(t_wheel timers/t_wheel.c)
hv_add_bench(t_hv timers/t_hv.c hv_static)
hv_add_bench(hv_echo servers/hv_echo.c hv_static)
hv_add_bench(hv_https servers/hv_https.c hv_static)
hv_add_bench(sink mqtt/sink.c)
hv_add_bench(pub_raw mqtt/pub_raw.c)

# Measures inside the library, so it sees the private headers.
file(GLOB inner_benches CONFIGURE_DEPENDS ${bench}/bench_*.c)
foreach(source IN LISTS inner_benches)
    get_filename_component(name ${source} NAME_WE)
    hv_add_bench(${name} ${name}.c hv_static)
    target_include_directories(bench_${name} PRIVATE ${room_dirs})
    target_compile_definitions(bench_${name} PRIVATE _GNU_SOURCE)
endforeach()

find_package(PkgConfig)
if(PKG_CONFIG_FOUND)
    pkg_check_modules(HV_UV QUIET IMPORTED_TARGET libuv)
    pkg_check_modules(HV_EVENT QUIET IMPORTED_TARGET libevent)
    pkg_check_modules(HV_HIREDIS QUIET IMPORTED_TARGET hiredis)
    pkg_check_modules(HV_MOSQUITTO QUIET IMPORTED_TARGET libmosquitto)
endif()
if(HV_HIREDIS_FOUND)
    hv_add_bench(hiredis_get redis/hiredis_get.c PkgConfig::HV_HIREDIS)
endif()
if(HV_MOSQUITTO_FOUND)
    hv_add_bench(pub_mosq mqtt/pub_mosq.c PkgConfig::HV_MOSQUITTO)
endif()
if(HV_UV_FOUND)
    hv_add_bench(uv_echo servers/uv_echo.c PkgConfig::HV_UV)
    hv_add_bench(t_uv timers/t_uv.c PkgConfig::HV_UV)
endif()
if(HV_EVENT_FOUND)
    hv_add_bench(ev_echo servers/ev_echo.c PkgConfig::HV_EVENT)
endif()
