# OpenSSL, linked into libhv for its TLS layer.
find_package(OpenSSL ${HV_OPENSSL_VERSION_MIN} REQUIRED)
add_library(hv_openssl INTERFACE)
target_link_libraries(hv_openssl INTERFACE OpenSSL::SSL OpenSSL::Crypto)
