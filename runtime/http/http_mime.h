/* http_mime.h - the media type of a file name. */
#ifndef HV_HTTP_MIME_H_
#define HV_HTTP_MIME_H_

#include "hhttp.h"

/* Whether compressing a body of that type is worth it: text, and what is text by another name. */
int hv__http_is_compressible(const char *type);

#endif
