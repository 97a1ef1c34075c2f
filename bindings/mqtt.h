/* mqtt.h - shared by mqtt.c (clients) and mqtt_properties.c (MQTT's properties as Lua tables). */
#ifndef HVL_MQTT_H_
#define HVL_MQTT_H_

#include "bind.h"
#include "hmqtt.h"

#define HVL_MQTT_PROPERTIES_MAX 256 /* of one call, user properties included */

/* Properties that a table asks for. The strings are the table's. */
typedef struct hvl_mqtt_list_s {
    hmqtt_property_t items[HVL_MQTT_PROPERTIES_MAX];
    size_t count;
} hvl_mqtt_list_t;

/* Fills a list from the table at a stack index, or leaves it empty for nil. Raises misuse for what
 * is no property or has the wrong type.
 *   where  the function's name, for messages */
void hvl_mqtt_read_properties(lua_State *L, int index, const char *where, hvl_mqtt_list_t *list);

/* Pushes properties that came as a table, or nil where there are none. */
void hvl_mqtt_push_properties(lua_State *L, hmqtt_block_t block);

#endif
