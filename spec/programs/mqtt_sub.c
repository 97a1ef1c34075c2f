/* Subscribes to a topic at each CONNACK, and prints what comes. */
#include "hv.h"
#include "mqtt_client.h"

static void show_retries(mqtt_client_t* cli) {
    if (cli->reconn_setting && cli->reconn_setting->cur_retry_cnt > 0) {
        printf("retry=%d delay=%d\n", cli->reconn_setting->cur_retry_cnt,
               cli->reconn_setting->cur_delay);
    }
}

static void on_mqtt(mqtt_client_t* cli, int type) {
    switch (type) {
    case MQTT_TYPE_CONNECT:
        printf("connected\n");
        show_retries(cli);
        break;
    case MQTT_TYPE_DISCONNECT:
        printf("disconnected\n");
        show_retries(cli);
        break;
    case MQTT_TYPE_CONNACK: {
        const char* topic = (const char*)mqtt_client_get_userdata(cli);
        int mid = mqtt_client_subscribe(cli, topic, 1);
        printf("connack=%d subscribe mid=%d\n", cli->error, mid);
        break;
    }
    case MQTT_TYPE_SUBACK:
        printf("suback mid=%d\n", cli->mid);
        break;
    case MQTT_TYPE_PUBLISH: {
        mqtt_message_t* msg = &cli->message;
        printf("topic: %.*s\n", msg->topic_len, msg->topic);
        printf("payload: %.*s\n", msg->payload_len, msg->payload);
        if (msg->payload_len == 4 && memcmp(msg->payload, "stop", 4) == 0) mqtt_client_stop(cli);
        break;
    }
    default: break;
    }
    fflush(stdout);
}

int main(int argc, char** argv) {
    if (argc < 4) return 1;
    mqtt_client_t* cli = mqtt_client_new(NULL);
    if (cli == NULL) return 1;
    mqtt_client_set_userdata(cli, argv[3]);
    mqtt_client_set_callback(cli, on_mqtt);
    reconn_setting_t reconn;
    reconn_setting_init(&reconn);
    reconn.min_delay = 50;
    reconn.max_delay = 200;
    reconn.delay_policy = 2;
    mqtt_client_set_reconnect(cli, &reconn);
    mqtt_client_connect(cli, argv[1], atoi(argv[2]), 0);
    mqtt_client_run(cli);
    mqtt_client_free(cli);
    return 0;
}
