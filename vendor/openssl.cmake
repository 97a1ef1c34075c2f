# OpenSSL, linked into libhv as soon as the TLS layer is there; its only includer is that layer.
find_package(OpenSSL ${HV_OPENSSL_VERSION_MIN} REQUIRED)
add_library(hv_openssl INTERFACE)
set(HV_USES_OPENSSL OFF)
if(EXISTS ${PROJECT_SOURCE_DIR}/runtime/net/htls_openssl.c)
    set(HV_USES_OPENSSL ON)
    target_link_libraries(hv_openssl INTERFACE OpenSSL::SSL OpenSSL::Crypto)
endif()
