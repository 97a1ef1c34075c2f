/* hspawn_int.h - what the tests of hspawn.c may turn. */
#ifndef HV_SPAWN_INT_H_
#define HV_SPAWN_INT_H_

/* Not 0: as on a kernel without pidfd_open. */
extern int hv__spawn_without_pidfd;

#endif
