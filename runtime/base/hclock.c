/* hclock.c - clock_gettime through the vDSO, behind one branch that is never taken in production.
 * The stopped clocks are relaxed atomics: a test that turns them from another thread brings its
 * own ordering (it wakes the loop). */
#include "hclock.h"

#include "hassert.h"

#include <stdatomic.h>
#include <time.h>

static atomic_int is_fake;
static _Atomic uint64_t fake_mono_us;
static _Atomic uint64_t fake_wall_us;

static uint64_t read_us(clockid_t id) {
    struct timespec now;
    int failed = clock_gettime(id, &now);
    HV_ASSERT(failed == 0);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint64_t hclock_mono_us(void) {
    if (HV_UNLIKELY(atomic_load_explicit(&is_fake, memory_order_relaxed))) {
        return atomic_load_explicit(&fake_mono_us, memory_order_relaxed);
    }
    return read_us(CLOCK_MONOTONIC);
}

uint64_t hclock_wall_us(void) {
    if (HV_UNLIKELY(atomic_load_explicit(&is_fake, memory_order_relaxed))) {
        return atomic_load_explicit(&fake_wall_us, memory_order_relaxed);
    }
    return read_us(CLOCK_REALTIME);
}

void hclock_set_fake(uint64_t us) {
    atomic_store(&fake_mono_us, us);
    atomic_store(&fake_wall_us, us);
    atomic_store(&is_fake, 1);
}

void hclock_set_fake_wall(uint64_t us) {
    HV_ASSERT(hclock_is_fake());
    atomic_store(&fake_wall_us, us);
}

void hclock_advance(uint64_t us) {
    HV_ASSERT(hclock_is_fake());
    atomic_fetch_add(&fake_mono_us, us);
    atomic_fetch_add(&fake_wall_us, us);
}

void hclock_use_real(void) {
    atomic_store(&is_fake, 0);
}

int hclock_is_fake(void) {
    return atomic_load(&is_fake);
}
