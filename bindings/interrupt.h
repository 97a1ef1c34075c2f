/* interrupt.h - what the prompt's files share: how a task is interrupted (interrupt.c), and how
 * compiled code is left for that (profile.c). */
#ifndef HVL_INTERRUPT_H_
#define HVL_INTERRUPT_H_

#include "bind.h"

/* ---- profile.c ---- */

/* From now on compiled code can be left by hvl_leave_trace: for who asks first, as long as somebody
 * wants it. Costs little, but what was compiled before is compiled anew. */
void hvl_check_traces(hvl_t *rt);
void hvl_uncheck_traces(hvl_t *rt);
/* Sees to it again, where the script has used the profiler for itself meanwhile. */
void hvl_check_traces_again(hvl_t *rt);
/* Makes the running compiled code go back to the interpreter, which sees hooks. In a signal handler
 * on the state's thread. */
void hvl_leave_trace(void);

/* ---- interrupt.c ---- */

typedef struct hvl_aim_s hvl_aim_t;

extern const hvl_class_t hvl_aim_class;

/* Interrupts the task that the aim was taken by, where it is: it may be running, also compiled
 * code, or waiting. From any thread but the loop's, as long as the aim is not closed. */
void hvl_aim_fire(hvl_aim_t *aim);

#endif
