/* hv.h - everything at once. */
#ifndef HV_H_
#define HV_H_

#include "hbase.h"
#include "hclient.h"
#include "hdef.h"
#include "hdict.h"
#include "hdns.h"
#include "herr.h"
#include "hhttp.h"
#include "hlog.h"
#include "hloop.h"
#include "hmutex.h"
#include "hproc.h"
#include "hsocket.h"
#include "hthread.h"
#include "htime.h"
#include "hversion.h"

#endif
