# nghttp2, linked into libhv: the frames, streams and header compression of HTTP/2. By plain name, as
# c-ares.
find_package(PkgConfig REQUIRED)
pkg_check_modules(HV_NGHTTP2_PC REQUIRED libnghttp2>=${HV_NGHTTP2_VERSION_MIN})
add_library(hv_nghttp2 INTERFACE)
target_include_directories(hv_nghttp2 SYSTEM INTERFACE ${HV_NGHTTP2_PC_INCLUDE_DIRS})
target_link_libraries(hv_nghttp2 INTERFACE nghttp2)
