// A C++ program: every header, callbacks that are lambdas, and a framing setting that is made with
// the usual head: flags in a byte, a length in four bytes, big end first.
#include "hv/hv.h"
#include "hv/hchannel.h"
#include "hv/hclient.h"
#include "hv/hcodec.h"
#include "hv/hcrypto.h"
#include "hv/hdict.h"
#include "hv/hdns.h"
#include "hv/hfs.h"
#include "hv/hhttp.h"
#include "hv/hhttp_client.h"
#include "hv/hhttp_files.h"
#include "hv/hhttp_gateway.h"
#include "hv/hini.h"
#include "hv/hloop_group.h"
#include "hv/hmain.h"
#include "hv/hmaster.h"
#include "hv/hmqtt.h"
#include "hv/hmultipart.h"
#include "hv/hresp.h"
#include "hv/hspawn.h"
#include "hv/hssl.h"
#include "hv/hvlua.h"
#include "hv/hws.h"
#include "hv/mqtt_client.h"
#include "hv/nlog.h"

int main() {
    hloop_t *loop = hloop_new(0);
    hio_t *ends[2];
    if (hio_create_pipe(loop, ends) != 0) return 1;
    unpack_setting_t setting; // its constructor's
    printf("mode=%d head=%d coding=%d\n", setting.mode, setting.body_offset,
           setting.length_field_coding == ENCODE_BY_BIG_ENDIAN);
    hio_set_unpack(ends[1], &setting);
    hio_setcb_read(ends[1], [](hio_t *io, void *data, int len) {
        printf("packet=%.*s\n", len - 5, static_cast<char *>(data) + 5);
        hloop_stop(hevent_loop(io));
    });
    hio_read(ends[1]);
    hio_write(ends[0], "\0\0\0\0\3abc\0", 9);
    hloop_run(loop);
    hloop_free(&loop);
    return 0;
}
