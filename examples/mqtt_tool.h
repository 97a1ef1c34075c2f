/* mqtt_tool.h - the options that mqtt_sub.c and mqtt_pub.c share, as those of mosquitto's tools. */
#ifndef EXAMPLES_MQTT_TOOL_H_
#define EXAMPLES_MQTT_TOOL_H_

#include "tool.h"
#include "hv/hmqtt.h"

#define MQTT_TOOL_OPTIONS "h:p:q:i:V:u:P:A:t:"
#define MQTT_TOOL_USAGE \
    "  -h HOST       the broker (127.0.0.1)       -p PORT    its port (1883)\n" \
    "  -q QOS        0 (default), 1 or 2          -i ID      client id\n" \
    "  -V VERSION    4 or 5 (default)             -u USER    -P PASSWORD\n" \
    "  -A FILE       TLS, by these roots          --help\n"

static inline hmqtt_bytes_t bytes_of(const char *text) {
    return (hmqtt_bytes_t){text, (uint32_t)strlen(text)};
}

/* One option that both have; `qos` is the tool's. Returns whether it was one. */
static inline int take_option(hmqtt_options_t *options, int *qos, int option, char *value) {
    hssl_ctx_opt_t tls = {.ca_file = value, .endpoint = HSSL_CLIENT};
    switch (option) {
    case 'h': options->host = value; return 1;
    case 'p': options->port = parse_number(value, "port", 1, 65535); return 1;
    case 'q': *qos = parse_number(value, "QoS", 0, 2); return 1;
    case 'i': options->client_id = value; return 1;
    case 'V': options->version = parse_number(value, "version", 3, 5); return 1;
    case 'u': options->username = value; return 1;
    case 'P': options->password = bytes_of(value); return 1;
    case 'A':
        options->transport = HMQTT_TLS;
        options->ssl_ctx = hssl_ctx_new(&tls);
        if (options->ssl_ctx == NULL) die(1, "%s: %s", value, hssl_last_error());
        return 1;
    default: return 0;
    }
}

/* "--help" anywhere prints how to use it, and ends well. */
static inline void look_for_help(int argc, char **argv, const char *usage) {
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") != 0) continue;
        fputs(usage, stdout);
        exit(0);
    }
}

/* Words for why something ended. */
static inline const char *words_of(const hmqtt_event_t *event) {
    return event->reason >= 0x80 ? hmqtt_reason_text(event->reason) : herr_text(event->error);
}

#endif
