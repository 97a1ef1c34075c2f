/* hframe.h - finding the end of the next packet in a run of bytes, pure. One file a mode. */
#ifndef HV_FRAME_H_
#define HV_FRAME_H_

#include "hunpack.h"

/* Looks for the first packet of `data`.
 *   setting  checked with unpack_setting_check
 *   scanned  in and out: bytes at the start that were searched before, so that a delimiter is
 *            searched once however small the reads are; 0 for a new packet
 * Returns the bytes of the packet; 0 where more are needed; HV_ELIMIT where the packet is, or
 * can only become, longer than package_max_length; HV_EPROTO for a length field that makes no
 * sense (negative with its adjustment, smaller than its head, varint beyond 64 bits). */
long hframe_next(const unpack_setting_t *setting, const char *data, size_t len, size_t *scanned);

/* The modes; same contract. */
long hv__frame_fixed(const unpack_setting_t *setting, size_t len);
long hv__frame_delimiter(const unpack_setting_t *setting, const char *data, size_t len,
                         size_t *scanned);
long hv__frame_length(const unpack_setting_t *setting, const char *data, size_t len);

/* The limit in force. */
size_t hv__frame_max(const unpack_setting_t *setting);

#endif
