/* mqtt_pub.c - publishes one message, or each line of standard input.
 *
 *     mqtt_pub -t rooms/3/temperature -m 21.5 -q 1
 */
#include "mqtt_tool.h"

static const char usage[] =
    "Usage: mqtt_pub [options] -t TOPIC (-m MESSAGE | -l | -n)\n" MQTT_TOOL_USAGE
    "  -t TOPIC      where to                     -m MESSAGE what to publish\n"
    "  -l            each line of standard input  -n         an empty message\n"
    "  -r            have the broker keep it      -S FILE    keep what has no answer: needs -i\n";

static hloop_t *loop;
static hmqtt_publish_t publish;
static int reads_lines;
static int pending; /* messages without an answer */
static int has_ended; /* there is nothing more to publish */
static int status;

static void end_if_done(hmqtt_t *client) {
    if (has_ended && pending == 0) hmqtt_disconnect(client, 0, NULL, 0);
}

static void publish_one(hmqtt_t *client, const char *payload, size_t len) {
    publish.payload = (hmqtt_bytes_t){payload, (uint32_t)len};
    int code = hmqtt_publish(client, &publish);
    if (code < 0) die(1, "publish: %s", herr_text(code));
    if (code > 0) pending++;
}

static void on_line(hio_t *io, void *line, int len) {
    const char *text = line;
    publish_one(hevent_userdata(io), text, (size_t)(text[len - 1] == '\n' ? len - 1 : len));
}

static void on_input_end(hio_t *io) {
    hmqtt_t *client = hevent_userdata(io);
    has_ended = 1;
    end_if_done(client);
}

/* Standard input, a line at a time. */
static void read_lines(hmqtt_t *client) {
    static unpack_setting_t lines = {.mode = UNPACK_BY_DELIMITER,
                                     .package_max_length = 1 << 20,
                                     .delimiter = {'\n'},
                                     .delimiter_bytes = 1};
    hio_t *io = hio_get(loop, 0);
    hevent_set_userdata(io, client);
    hio_set_unpack(io, &lines);
    hio_setcb_read(io, on_line);
    hio_setcb_close(io, on_input_end);
    hio_read(io);
}

static void begin(hmqtt_t *client) {
    static int has_begun;
    if (has_begun++) return;
    if (reads_lines) {
        read_lines(client);
        return;
    }
    publish_one(client, publish.payload.data, publish.payload.len);
    has_ended = 1;
    end_if_done(client);
}

static void on_event(hmqtt_t *client, const hmqtt_event_t *event, void *userdata) {
    (void)userdata;
    if (event->is_done) {
        pending--;
        if (event->reason >= 0x80 || event->error != 0) die(1, "publish: %s", words_of(event));
        end_if_done(client);
    } else if (event->type == HMQTT_CONNACK && event->reason == 0) {
        begin(client);
    } else if (event->type == HMQTT_DISCONNECT) {
        if (event->error != 0) fprintf(stderr, "mqtt_pub: %s\n", words_of(event));
        status = event->error != 0;
        hloop_stop(loop);
    }
}

int main(int argc, char **argv) {
    hmqtt_options_t options;
    hmqtt_options_init(&options);
    options.reconnects = 0;
    int qos = 0, has_message = 0;
    look_for_help(argc, argv, usage);
    for (int option; (option = getopt(argc, argv, MQTT_TOOL_OPTIONS "m:lnrS:")) != -1;) {
        if (option == 't') {
            publish.topic = bytes_of(optarg);
        } else if (option == 'm' || option == 'n') {
            publish.payload = bytes_of(option == 'm' ? optarg : "");
            has_message = 1;
        } else if (option == 'l') {
            reads_lines = 1;
        } else if (option == 'r') {
            publish.retain = 1;
        } else if (option == 'S') {
            options.store = optarg;
            options.clean_start = 0;
        } else if (!take_option(&options, &qos, option, optarg)) {
            die(2, "%s", usage);
        }
    }
    if (publish.topic.len == 0) die(2, "-t TOPIC is missing\n%s", usage);
    if (!has_message && !reads_lines) die(2, "one of -m, -l and -n is missing\n%s", usage);
    publish.qos = (uint8_t)qos;
    loop = new_tool_loop();
    hmqtt_t *client = hmqtt_new(loop, &options, on_event, NULL);
    if (client == NULL) die(1, "mqtt_pub: %s", herr_text(hloop_last_error(loop)));
    hssl_ctx_free(options.ssl_ctx);
    hmqtt_start(client);
    hloop_run(loop);
    hmqtt_free(client);
    hloop_free(&loop);
    return status;
}
