# inih: a reader of INI files, from the package libinih-dev; its only includer is the proc room.
find_path(HV_INIH_INCLUDE_DIR ini.h REQUIRED)
find_library(HV_INIH_ARCHIVE libinih.a REQUIRED)
# Its objects and not the archive: they become part of libhv.a, so that programs link with -lhv alone.
set(inih_dir ${PROJECT_BINARY_DIR}/inih)
file(MAKE_DIRECTORY ${inih_dir})
execute_process(COMMAND ${CMAKE_AR} x ${HV_INIH_ARCHIVE} WORKING_DIRECTORY ${inih_dir}
    COMMAND_ERROR_IS_FATAL ANY)
file(GLOB HV_INIH_OBJECTS ${inih_dir}/*.o)
add_library(hv_inih INTERFACE)
target_include_directories(hv_inih SYSTEM INTERFACE ${HV_INIH_INCLUDE_DIR})
