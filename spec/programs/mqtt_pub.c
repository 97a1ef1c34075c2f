/* Publishes one message, waits for its acknowledgement, and ends. */
#include "hv.h"
#include "mqtt_client.h"

static void on_mqtt(mqtt_client_t* cli, int type) {
    printf("type=%d mid=%d\n", type, cli->mid);
    switch (type) {
    case MQTT_TYPE_CONNACK: {
        mqtt_message_t* msg = (mqtt_message_t*)mqtt_client_get_userdata(cli);
        if (msg == NULL) return;
        printf("publish mid=%d\n", mqtt_client_publish(cli, msg));
        if (msg->qos == 0) mqtt_client_disconnect(cli);
        break;
    }
    case MQTT_TYPE_PUBACK:
    case MQTT_TYPE_PUBCOMP:
        mqtt_client_disconnect(cli);
        break;
    case MQTT_TYPE_DISCONNECT: {
        mqtt_message_t* msg = (mqtt_message_t*)mqtt_client_get_userdata(cli);
        HV_FREE(msg);
        mqtt_client_set_userdata(cli, NULL);
        printf("error=%d\n", mqtt_client_get_last_error(cli));
        mqtt_client_stop(cli);
        break;
    }
    default: break;
    }
}

int main(int argc, char** argv) {
    if (argc < 6) return 1;
    mqtt_client_t* cli = mqtt_client_new(NULL);
    if (cli == NULL) return 1;
    char client_id[64];
    snprintf(client_id, sizeof(client_id), "mqtt_pub_%ld", (long)hv_getpid());
    mqtt_client_set_id(cli, client_id);
    mqtt_message_t will;
    memset(&will, 0, sizeof(will));
    will.topic = "will";
    will.payload = "This is a will.";
    mqtt_client_set_will(cli, &will);
    mqtt_message_t* msg = NULL;
    HV_ALLOC_SIZEOF(msg);
    msg->topic = argv[3];
    msg->topic_len = strlen(argv[3]);
    msg->payload = argv[4];
    msg->payload_len = strlen(argv[4]);
    msg->qos = atoi(argv[5]);
    mqtt_client_set_userdata(cli, msg);
    mqtt_client_set_callback(cli, on_mqtt);
    mqtt_client_connect(cli, argv[1], atoi(argv[2]), 0);
    mqtt_client_run(cli);
    mqtt_client_free(cli);
    return 0;
}
