/* Says what it is linked with and where it runs, and logs a line. */
#include "hv/hv.h"

int main(void) {
    char path[MAX_PATH] = {0};
    char folder[MAX_PATH] = {0};
    get_executable_path(path, sizeof(path));
    get_run_dir(folder, sizeof(folder));
    printf("path=%s\nfolder=%s\nversion=%s\n", path, folder, hv_compile_version());
    LOGI("linked with %s", hv_compile_version());
    return 0;
}
