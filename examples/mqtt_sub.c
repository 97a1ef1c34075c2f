/* mqtt_sub.c - prints the messages of topics, as they come.
 *
 *     mqtt_sub -t 'rooms/+/temperature' -q 1 -v
 */
#include "mqtt_tool.h"

#define FILTERS_MAX 32

static const char usage[] =
    "Usage: mqtt_sub [options] -t FILTER...\n" MQTT_TOOL_USAGE
    "  -t FILTER     topics; may come again       -v         print the topic, too\n"
    "  -C COUNT      end after so many messages   -c         keep the session: needs -i\n"
    "  -R            leave out retained messages\n";

static hloop_t *loop;
static hmqtt_filter_t filters[FILTERS_MAX];
static size_t filter_count;
static int qos;
static int is_verbose;
static int leaves_out_retained;
static int wanted = -1; /* messages; -1: without end */
static int status;

static void subscribe(hmqtt_t *client) {
    for (size_t i = 0; i < filter_count; i++) filters[i].qos = (uint8_t)qos;
    hmqtt_subscribe_t call = {.filters = filters, .filter_count = filter_count};
    int code = hmqtt_subscribe(client, &call);
    if (code < 0) die(1, "subscribe: %s", herr_text(code));
}

static void show(hmqtt_t *client, const hmqtt_message_t *message) {
    if (leaves_out_retained && message->retain) return;
    if (is_verbose) printf("%.*s ", (int)message->topic.len, message->topic.data);
    fwrite(message->payload.data, 1, message->payload.len, stdout);
    putchar('\n');
    fflush(stdout);
    if (wanted > 0 && --wanted == 0) hmqtt_disconnect(client, 0, NULL, 0);
}

static void on_event(hmqtt_t *client, const hmqtt_event_t *event, void *userdata) {
    static int has_begun;
    (void)userdata;
    switch (event->type) {
    case HMQTT_CONNACK:
        /* Later connections subscribe by themselves. */
        if (event->reason == 0 && !has_begun) subscribe(client);
        has_begun |= event->reason == 0;
        break;
    case HMQTT_SUBACK:
        for (uint32_t i = 0; i < event->reasons.len; i++) {
            uint8_t reason = (uint8_t)event->reasons.data[i];
            if (reason >= 0x80) die(1, "subscribe: %s", hmqtt_reason_text(reason));
        }
        fprintf(stderr, "subscribed\n");
        break;
    case HMQTT_PUBLISH: show(client, event->message); break;
    case HMQTT_DISCONNECT:
        if (event->error != 0) fprintf(stderr, "mqtt_sub: %s\n", words_of(event));
        if (event->retry_ms >= 0 && has_begun) break;
        status = event->error != 0;
        hloop_stop(loop);
        break;
    default: break;
    }
}

int main(int argc, char **argv) {
    hmqtt_options_t options;
    hmqtt_options_init(&options);
    look_for_help(argc, argv, usage);
    for (int option; (option = getopt(argc, argv, MQTT_TOOL_OPTIONS "C:cRv")) != -1;) {
        if (option == 't' && filter_count == FILTERS_MAX) die(2, "too many filters");
        if (option == 't') {
            filters[filter_count++].filter = bytes_of(optarg);
        } else if (option == 'C') {
            wanted = parse_number(optarg, "count", 1, INT32_MAX);
        } else if (option == 'c') {
            options.clean_start = 0;
        } else if (option == 'R') {
            leaves_out_retained = 1;
        } else if (option == 'v') {
            is_verbose = 1;
        } else if (!take_option(&options, &qos, option, optarg)) {
            die(2, "%s", usage);
        }
    }
    if (filter_count == 0) die(2, "-t FILTER is missing\n%s", usage);
    loop = new_tool_loop();
    hmqtt_t *client = hmqtt_new(loop, &options, on_event, NULL);
    if (client == NULL) die(1, "mqtt_sub: %s", herr_text(hloop_last_error(loop)));
    hssl_ctx_free(options.ssl_ctx);
    hmqtt_start(client);
    hloop_run(loop);
    hmqtt_free(client);
    hloop_free(&loop);
    return status;
}
