# The command line examples as ctest entries, each against a real peer. They need bash, python3, curl
# openssl and testssl.sh.

foreach(tool arguments mqtt nc proxies tinyhttpd jsonrpc https embed)
    add_test(NAME ${prefix}tools.${tool}
        COMMAND bash ${PROJECT_SOURCE_DIR}/spec/tools/${tool}.sh ${PROJECT_BINARY_DIR}/bin/examples)
    set_tests_properties(${prefix}tools.${tool} PROPERTIES LABELS tools TIMEOUT 240
        ENVIRONMENT "${sanitizer_env}")
endforeach()
