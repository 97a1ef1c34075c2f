# Servers of master and workers as ctest entries, under the load of wrk. They need bash, python3,
# curl and wrk, and run one after the other: each wants the processors for itself.

if(HV_EXAMPLES)
    add_test(NAME ${prefix}proc.httpd_workers
        COMMAND bash ${CMAKE_CURRENT_LIST_DIR}/httpd_workers.sh ${PROJECT_BINARY_DIR}/bin/examples)
    set_tests_properties(${prefix}proc.httpd_workers PROPERTIES LABELS proc TIMEOUT 240
        RUN_SERIAL ON ENVIRONMENT "${sanitizer_env}")
endif()
if(has_hvlua)
    if(TEST ${prefix}proc.hvlua_server_spec)
    set_tests_properties(${prefix}proc.hvlua_server_spec PROPERTIES LABELS proc TIMEOUT 240
            RUN_SERIAL ON)
endif()
endif()
