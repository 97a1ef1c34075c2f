/* pub_mosq.c - libmosquitto publishing 64 bytes: pub_mosq PORT QOS SECONDS WINDOW */
#include <mosquitto.h>

#include "../common.h"

static uint64_t acked;
static int is_open;

static void on_publish(struct mosquitto *client, void *userdata, int id) {
    (void)client, (void)userdata, (void)id;
    acked++;
}

static void on_connect(struct mosquitto *client, void *userdata, int code) {
    (void)client, (void)userdata;
    is_open = code == 0;
}

int main(int argc, char **argv) {
    if (argc < 5) return 2;
    int qos = atoi(argv[2]);
    uint64_t window = (uint64_t)atoi(argv[4]), sent = 0;
    double seconds = atof(argv[3]);
    char payload[64];
    memset(payload, 'x', sizeof payload);
    mosquitto_lib_init();
    struct mosquitto *client = mosquitto_new("pub_mosq", true, NULL);
    mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
    mosquitto_int_option(client, MOSQ_OPT_SEND_MAXIMUM, (int)window);
    mosquitto_publish_callback_set(client, on_publish);
    mosquitto_connect_callback_set(client, on_connect);
    if (mosquitto_connect(client, "127.0.0.1", atoi(argv[1]), 60) != 0) return 1;
    while (!is_open) mosquitto_loop(client, 100, 1);
    uint64_t begin = now_ns(), cpu = cpu_ns_self();
    while ((double)(now_ns() - begin) < seconds * 1e9) {
        for (int i = 0; i < 256; i++) {
            if (qos > 0 ? sent - acked >= window : mosquitto_want_write(client)) break;
            if (mosquitto_publish(client, NULL, "bench/topi", 64, payload, qos, false)) return 1;
            sent++;
        }
        mosquitto_loop(client, qos > 0 || mosquitto_want_write(client) ? 100 : 0, 100);
    }
    double elapsed = (double)(now_ns() - begin) / 1e9, used = (double)(cpu_ns_self() - cpu);
    uint64_t count = qos > 0 ? acked : sent;
    printf("%.0f msg/s, %.0f ns CPU\n", (double)count / elapsed, used / (double)count);
    return 0;
}
