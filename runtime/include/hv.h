/* hv.h - everything at once, but for what only a whole program needs: hmain.h, hini.h, hmaster.h
 * and nlog.h. */
#ifndef HV_H_
#define HV_H_

#include "hbase.h"
#include "hclient.h"
#include "hcrypto.h"
#include "hdef.h"
#include "hdict.h"
#include "hdns.h"
#include "herr.h"
#include "hfs.h"
#include "hhttp.h"
#include "hhttp_files.h"
#include "hlog.h"
#include "hloop.h"
#include "hloop_group.h"
#include "hmqtt.h"
#include "hmutex.h"
#include "hproc.h"
#include "hsocket.h"
#include "hspawn.h"
#include "hssl.h"
#include "hthread.h"
#include "htime.h"
#include "hversion.h"
#include "hws.h"

#endif
