/* hreconnect.c - how long to wait before the next attempt. Every sum and product stays within 32
 * bits: a delay is held at its maximum before it could overflow. */
#include "hclient.h"

void reconn_setting_init(reconn_setting_t *setting) {
    *setting = (reconn_setting_t){
        .min_delay = DEFAULT_RECONNECT_MIN_DELAY,
        .max_delay = DEFAULT_RECONNECT_MAX_DELAY,
        .max_retry_cnt = INFINITE,
        .delay_policy = RECONN_DELAY_EXPONENTIAL,
    };
}

void reconn_setting_reset(reconn_setting_t *setting) {
    setting->cur_delay = 0;
    setting->cur_retry_cnt = 0;
}

bool reconn_setting_can_retry(const reconn_setting_t *setting) {
    return setting->max_retry_cnt == INFINITE || setting->cur_retry_cnt < setting->max_retry_cnt;
}

uint32_t reconn_setting_calc_delay(reconn_setting_t *setting) {
    uint64_t delay = setting->cur_delay;
    if (setting->delay_policy == RECONN_DELAY_FIXED) {
        delay = setting->min_delay;
    } else if (setting->delay_policy == RECONN_DELAY_LINEAR) {
        delay += setting->min_delay;
    } else {
        delay *= setting->delay_policy;
    }
    if (delay > setting->max_delay) delay = setting->max_delay;
    if (delay < setting->min_delay) delay = setting->min_delay;
    setting->cur_delay = (uint32_t)delay;
    if (setting->cur_retry_cnt < INFINITE) setting->cur_retry_cnt++;
    return setting->cur_delay;
}
