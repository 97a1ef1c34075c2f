/* http_words.h - what the words of hhttp.h offer inside the room besides. */
#ifndef HV_HTTP_WORDS_H_
#define HV_HTTP_WORDS_H_

#include "hhttp.h"

/* The registered phrase of a status and its length; "Unknown" where there is none. */
hhttp_slice_t hv__http_status_phrase(int status);

#endif
