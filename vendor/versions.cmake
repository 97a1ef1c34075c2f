# The oldest version of each library that is known to work; what Debian 12 carries satisfies all.
set(HV_LUAJIT_VERSION_MIN 2.1)
set(HV_LLHTTP_VERSION_MIN 8.1)
set(HV_OPENSSL_VERSION_MIN 3.0)
set(HV_CARES_VERSION_MIN 1.18)
set(HV_ZLIB_VERSION_MIN 1.2.13)
set(HV_BROTLI_VERSION_MIN 1.0.9)
set(HV_LIBEDIT_VERSION_MIN 3.1)
set(HV_CMOCKA_VERSION_MIN 1.1.5)
