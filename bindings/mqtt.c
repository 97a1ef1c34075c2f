/* mqtt.c - MQTT clients for Lua.
 *
 * One message is handled at a time: a task runs the deliver function that lua/hv/mqtt.lua gives,
 * and the message is acknowledged when that has ended. What comes meanwhile waits in a queue of
 * copies. The broker is slowed by the acknowledgements that it does not get (QoS 1 and 2), and by
 * reading that rests while the queue is long (QoS 0) - but never while somebody waits for an answer
 * of the broker, who might be the very task that handles a message.
 *
 * Whoever waits for an answer is a hvl_mqtt_pending_t, hmqtt's token. Each accepted call gives
 * exactly one event that ends it, so one is freed there and nowhere else, whether its task still
 * waits or not. The object stays anchored until the client is gone, nothing is pending and nothing
 * runs. */
#include "mqtt.h"

#include "fields.h"
#include "hbase.h"

#define QUEUE_SOFT       256          /* messages; reading rests above */
#define QUEUE_SOFT_BYTES (1u << 20)

static const hvl_class_t hvl_mqtt_class = {"hv.mqtt"};

/* ---- Lives ---- */

static void release_if_over(hvl_mqtt_t *self) {
    if (self->mqtt != NULL || self->awaited > 0 || self->is_busy) return;
    hvl_t *rt = self->object.rt;
    hvl_unref(rt, &self->deliver_ref);
    hvl_unref(rt, &self->told_ref);
    hvl_unanchor(self);
}

static void drop_queue(hvl_mqtt_t *self) {
    for (hvl_mqtt_queued_t *each = self->first, *next; each != NULL; each = next) {
        next = each->next;
        hv_free(each);
    }
    self->first = self->last = NULL;
    self->queued = 0;
    self->queued_bytes = 0;
}

/* Lets go of the client below. What is pending ends in events of its own. */
static void end_client(hvl_mqtt_t *self) {
    if (self->mqtt == NULL) return;
    hmqtt_free(self->mqtt);
    self->mqtt = NULL;
    drop_queue(self);
}

/* ---- Those who wait for an answer ---- */

hvl_mqtt_pending_t *hvl_mqtt_pending_new(hvl_mqtt_t *self, const char *what) {
    hvl_mqtt_pending_t *pending = self->spare;
    if (pending != NULL) {
        self->spare = pending->next;
    } else {
        pending = hv_malloc(sizeof *pending);
        if (pending == NULL) return NULL;
    }
    *pending = (hvl_mqtt_pending_t){.client = self, .what = what};
    return pending;
}

void hvl_mqtt_pending_free(hvl_mqtt_pending_t *pending) {
    hvl_mqtt_t *self = pending->client;
    if (self->mqtt == NULL) {
        hv_free(pending);
        return;
    }
    pending->next = self->spare;
    self->spare = pending;
}

static void free_list(hvl_mqtt_pending_t **list) {
    for (hvl_mqtt_pending_t *each = *list, *next; each != NULL; each = next) {
        next = each->next;
        hv_free(each);
    }
    *list = NULL;
}

/* While an answer is awaited it must be read, whatever else comes with it. */
void hvl_mqtt_balance(hvl_mqtt_t *self) {
    if (self->mqtt == NULL) return;
    int is_long = self->queued > QUEUE_SOFT || self->queued_bytes > QUEUE_SOFT_BYTES;
    if (is_long && self->awaited == 0) {
        hmqtt_pause(self->mqtt);
    } else {
        hmqtt_resume(self->mqtt);
    }
}

/* Pushes nil, "<what>: not authorized", "EACCES", 0x87; or three values where the broker gave no
 * reason. */
static int push_failure(lua_State *L, const char *what, int error, uint8_t reason) {
    if (reason < 0x80) return hvl_push_error(L, what, error != 0 ? error : HV_EOF);
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", what, hmqtt_reason_text(reason));
    lua_pushstring(L, herr_name(hmqtt_reason_code(reason)));
    lua_pushinteger(L, reason);
    return 4;
}

static int push_answer(lua_State *L, const char *what, const hmqtt_event_t *event) {
    if (event->error != 0 && event->reason < 0x80) return hvl_push_error(L, what, event->error);
    if (event->reason >= 0x80) return push_failure(L, what, 0, event->reason);
    lua_pushboolean(L, 1);
    if (event->type == HMQTT_SUBACK || event->type == HMQTT_UNSUBACK) {
        lua_pushlstring(L, event->reasons.data != NULL ? event->reasons.data : "",
                        event->reasons.len);
    } else {
        lua_pushinteger(L, event->reason);
    }
    return 2;
}

static void on_answer(hvl_mqtt_t *self, const hmqtt_event_t *event) {
    hvl_mqtt_pending_t *pending = event->token;
    if (pending == NULL) return;
    self->awaited--;
    const char *what = pending->what;
    hvl_task_t *task = self->object.rt->loop != NULL ? hvl_wake(&pending->waiter) : NULL;
    hvl_mqtt_pending_free(pending);
    if (self->awaited == 0) hvl_mqtt_balance(self);
    if (task != NULL) hvl_resume_now(task, push_answer(task->co, what, event));
    if (self->object.rt->loop != NULL) release_if_over(self);
}

/* Wakes those who wait for the stream: with true, or because it is lost. */
static void wake_drains(hvl_mqtt_t *self, int error) {
    hvl_mqtt_pending_t *each = self->drains;
    self->drains = NULL;
    for (hvl_mqtt_pending_t *next; each != NULL; each = next) {
        next = each->next;
        const char *what = each->what;
        hvl_task_t *task = hvl_wake(&each->waiter);
        hvl_mqtt_pending_free(each);
        if (task == NULL) continue;
        int count = 1;
        if (error != 0) {
            count = hvl_push_error(task->co, what, error);
        } else {
            lua_pushboolean(task->co, 1);
        }
        hvl_resume_later(task, count);
    }
}

/* ---- Messages ---- */

static void set_number(lua_State *L, const char *name, lua_Integer value) {
    lua_pushinteger(L, value);
    lua_setfield(L, -2, name);
}

static void set_flag(lua_State *L, const char *name, int value) {
    lua_pushboolean(L, value);
    lua_setfield(L, -2, name);
}

static void push_message(lua_State *L, const hmqtt_message_t *message, hmqtt_block_t properties) {
    lua_createtable(L, 0, 6);
    lua_pushlstring(L, message->topic.data, message->topic.len);
    lua_setfield(L, -2, "topic");
    lua_pushlstring(L, message->payload.data, message->payload.len);
    lua_setfield(L, -2, "payload");
    set_number(L, "qos", message->qos);
    set_flag(L, "retain", message->retain);
    set_flag(L, "dup", message->dup);
    if (properties.len == 0) return;
    hvl_mqtt_push_properties(L, properties);
    lua_setfield(L, -2, "properties");
}

static void deliver_queued(hvl_mqtt_t *self);

static void on_delivered(hvl_task_t *task, int status) {
    hvl_mqtt_t *self = task->userdata[0];
    (void)status; /* an error has been reported */
    self->is_busy = 0;
    if (self->mqtt != NULL) hmqtt_ack(self->mqtt, self->held);
    if (self->is_running) return; /* whoever has begun it goes on */
    deliver_queued(self);
    release_if_over(self);
}

static void deliver(hvl_mqtt_t *self, const hmqtt_message_t *message, hmqtt_block_t properties,
                    hmqtt_held_t held) {
    hvl_task_t *task = hvl_task_begin_ref(self->object.rt, self->deliver_ref);
    if (task == NULL) return;
    push_message(task->co, message, properties);
    task->on_finish = on_delivered;
    task->userdata[0] = self;
    self->held = held;
    self->is_busy = 1;
    self->is_running = 1;
    hvl_task_run(task, 1);
    self->is_running = 0;
}

static void deliver_queued(hvl_mqtt_t *self) {
    while (self->first != NULL && !self->is_busy && self->mqtt != NULL) {
        hvl_mqtt_queued_t *each = self->first;
        self->first = each->next;
        if (self->first == NULL) self->last = NULL;
        self->queued--;
        self->queued_bytes -= each->message.topic.len + each->message.payload.len +
                              each->properties.len;
        deliver(self, &each->message, each->properties, each->held);
        hv_free(each);
    }
    hvl_mqtt_balance(self);
}

static char *copy_bytes(char *at, hmqtt_bytes_t *bytes) {
    if (bytes->len > 0) memcpy(at, bytes->data, bytes->len);
    bytes->data = at;
    return at + bytes->len;
}

static void enqueue(hvl_mqtt_t *self, const hmqtt_event_t *event) {
    const hmqtt_message_t *message = event->message;
    size_t bytes = (size_t)message->topic.len + message->payload.len + event->properties.len;
    if (self->queued >= self->kept_max || self->queued_bytes + bytes > self->kept_bytes_max) {
        self->is_over_limit = 1;
        if (message->qos > 0) hmqtt_hold_ack(self->mqtt, message); /* it comes again */
        hmqtt_disconnect(self->mqtt, HMQTT_QUOTA_EXCEEDED, NULL, 0);
        return;
    }
    hvl_mqtt_queued_t *each = hv_malloc(sizeof *each + bytes);
    if (each == NULL) { /* one of QoS 1 or 2 comes again over the next connection */
        if (message->qos > 0) hmqtt_hold_ack(self->mqtt, message);
        hmqtt_reconnect(self->mqtt);
        return;
    }
    *each = (hvl_mqtt_queued_t){.message = *message, .properties = event->properties};
    each->held = hmqtt_hold_ack(self->mqtt, message);
    char *at = copy_bytes(each->bytes, &each->message.topic);
    at = copy_bytes(at, &each->message.payload);
    copy_bytes(at, &each->properties);
    if (self->last != NULL) {
        self->last->next = each;
    } else {
        self->first = each;
    }
    self->last = each;
    self->queued++;
    self->queued_bytes += bytes;
    hvl_mqtt_balance(self);
}

static void on_message(hvl_mqtt_t *self, const hmqtt_event_t *event) {
    if (self->is_busy || self->first != NULL) {
        enqueue(self, event);
        return;
    }
    deliver(self, event->message, event->properties, hmqtt_hold_ack(self->mqtt, event->message));
}

/* ---- Other events ---- */

/* Begins a task that is told of something. NULL where there is nobody to tell. */
static hvl_task_t *begin_told(hvl_mqtt_t *self, const char *what) {
    hvl_task_t *task = hvl_task_begin_ref(self->object.rt, self->told_ref);
    if (task != NULL) lua_pushstring(task->co, what);
    return task;
}

static void on_connack(hvl_mqtt_t *self, const hmqtt_event_t *event) {
    self->refused = event->reason;
    if (event->reason >= 0x80) return; /* DISCONNECT follows */
    hvl_task_t *told = begin_told(self, "connect");
    if (told != NULL) {
        lua_pushboolean(told->co, event->session_present);
        hvl_mqtt_push_properties(told->co, event->properties);
        hvl_task_start(told, 3);
    }
    hvl_task_t *opener = hvl_wake(&self->opener);
    if (opener == NULL) return;
    lua_pushboolean(opener->co, 1);
    hvl_resume_later(opener, 1);
}

static int push_close(lua_State *L, const hvl_mqtt_t *self, const char *what,
                      const hmqtt_event_t *event) {
    if (self->is_over_limit) return hvl_push_error(L, what, HV_ELIMIT);
    uint8_t reason = event->reason >= 0x80 ? event->reason : self->refused;
    return push_failure(L, what, event->error != 0 ? event->error : HV_ECLOSED, reason);
}

static void on_disconnect(hvl_mqtt_t *self, const hmqtt_event_t *event) {
    int is_final = event->retry_ms < 0;
    wake_drains(self, event->error != 0 ? event->error : HV_ECLOSED);
    hvl_task_t *told = begin_told(self, "close");
    if (told != NULL) {
        lua_pushnumber(told->co, (lua_Number)event->retry_ms);
        hvl_mqtt_push_properties(told->co, event->properties);
        hvl_task_start(told, 3 + push_close(told->co, self, "mqtt", event));
    }
    /* Opening waits for the first answer, good or bad. */
    hvl_task_t *opener = hvl_wake(&self->opener);
    if (opener != NULL) {
        int count = push_close(opener->co, self, "connect", event);
        if (count == 4) hvl_mqtt_push_properties(opener->co, event->properties);
        hvl_resume_later(opener, count == 4 ? 5 : count);
    }
    self->refused = 0;
    if (!is_final) return;
    end_client(self);
    hvl_task_t *closer = hvl_wake(&self->closer);
    if (closer != NULL) {
        lua_pushboolean(closer->co, 1);
        hvl_resume_later(closer, 1);
    }
    release_if_over(self);
}

static void on_auth(hvl_mqtt_t *self, const hmqtt_event_t *event) {
    hvl_task_t *told = begin_told(self, "auth");
    if (told == NULL) return;
    lua_pushinteger(told->co, event->reason);
    hvl_mqtt_push_properties(told->co, event->properties);
    hvl_task_start(told, 3);
}

static void on_event(hmqtt_t *mqtt, const hmqtt_event_t *event, void *userdata) {
    hvl_mqtt_t *self = userdata;
    if (event->is_done) {
        on_answer(self, event);
        return;
    }
    if (self->object.rt->loop == NULL || self->mqtt != mqtt) return;
    switch (event->type) {
    case HMQTT_PUBLISH: on_message(self, event); break;
    case HMQTT_CONNACK: on_connack(self, event); break;
    case HMQTT_DISCONNECT: on_disconnect(self, event); break;
    case HMQTT_DRAIN: wake_drains(self, 0); break;
    case HMQTT_AUTH: on_auth(self, event); break;
    default: break;
    }
}

/* new(options, deliver, told): a client that is not started. */
static int new_client(lua_State *L) {
    hvl_t *rt = hvl_self(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 3);
    if (rt->loop == NULL) return hvl_push_error(L, "mqtt", HV_ECLOSED);
    hmqtt_options_t options;
    hvl_mqtt_list_t properties, will_properties;
    hvl_mqtt_read_options(L, &options);
    lua_getfield(L, 1, "properties");
    hvl_mqtt_read_properties(L, -1, "hv.mqtt.connect", &properties);
    lua_getfield(L, 1, "will_properties");
    hvl_mqtt_read_properties(L, -1, "hv.mqtt.connect: will", &will_properties);
    options.properties = properties.items;
    options.property_count = properties.count;
    options.will.properties = will_properties.items;
    options.will.property_count = will_properties.count;
    hvl_mqtt_t *self = hvl_object_new(L, rt, &hvl_mqtt_class, sizeof *self);
    self->deliver_ref = self->told_ref = LUA_NOREF;
    self->kept_max = hvl_field_count(L, 1, "max_kept");
    self->kept_bytes_max = hvl_field_count(L, 1, "max_kept_bytes");
    /* What may raise comes first: the client below must not outlive an object that was
     * collected. */
    lua_pushvalue(L, 2);
    self->deliver_ref = hvl_ref(L);
    lua_pushvalue(L, 3);
    self->told_ref = hvl_ref(L);
    hvl_anchor(L, -1);
    self->mqtt = hmqtt_new(rt->loop, &options, on_event, self);
    if (self->mqtt != NULL) return 1;
    release_if_over(self);
    return hvl_push_error(L, "mqtt", hloop_last_error(rt->loop));
}

static hvl_mqtt_t *check_client(lua_State *L) { return hvl_check(L, 1, &hvl_mqtt_class); }

/* The client where it has not ended; otherwise pushes the failure. */
hvl_mqtt_t *hvl_mqtt_check_living(lua_State *L, const char *what, int *count) {
    hvl_mqtt_t *self = check_client(L);
    if (self->mqtt != NULL) return self;
    *count = hvl_push_error(L, what, HV_ECLOSED);
    return NULL;
}

/* ---- Opening and closing ---- */

/* Has the client do what does not wait: true, or nil, message, code. */
static int command(lua_State *L, const char *what, int (*run)(hmqtt_t *mqtt)) {
    int count = 0;
    hvl_mqtt_t *self = hvl_mqtt_check_living(L, what, &count);
    if (self == NULL) return count;
    int code = run(self->mqtt);
    if (code != 0) return hvl_push_error(L, what, code);
    lua_pushboolean(L, 1);
    return 1;
}

/* start(): does not wait. */
static int client_start(lua_State *L) { return command(L, "connect", hmqtt_start); }

/* open(): starts, and waits for the first answer. */
static int client_open(lua_State *L) {
    int count = 0;
    hvl_mqtt_t *self = hvl_mqtt_check_living(L, "connect", &count);
    if (self == NULL) return count;
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    int code = hmqtt_start(self->mqtt);
    if (code != 0) return hvl_push_error(L, "connect", code);
    self->opener = hvl_wait_begin(L, "connect", -1, NULL, NULL);
    return hvl_wait(L);
}

/* drop(): ends it at once, without a word to the broker. */
static int client_drop(lua_State *L) {
    hvl_mqtt_t *self = check_client(L);
    wake_drains(self, HV_ECLOSED);
    end_client(self);
    hvl_task_t *closer = hvl_wake(&self->closer);
    if (closer != NULL) {
        lua_pushboolean(closer->co, 1);
        hvl_resume_later(closer, 1);
    }
    release_if_over(self);
    return 0;
}

/* disconnect(reason, properties, waits) */
static int client_disconnect(lua_State *L) {
    hvl_mqtt_t *self = check_client(L);
    lua_settop(L, 4);
    uint8_t reason = 0;
    if (!lua_isnil(L, 2)) {
        reason = (uint8_t)hvl_check_integer(L, 2, "client:disconnect: reason", 0, 255);
    }
    hvl_mqtt_list_t properties;
    hvl_mqtt_read_properties(L, 3, "client:disconnect", &properties);
    int waits = lua_toboolean(L, 4);
    if (self->mqtt != NULL && waits) {
        if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
        if (hvl_is_waited(&self->closer)) return hvl_push_error(L, "disconnect", HV_EBUSY);
    }
    if (self->mqtt != NULL) {
        self->is_closed_here = 1;
        int was_idle = hmqtt_io(self->mqtt) == NULL;
        int code = hmqtt_disconnect(self->mqtt, reason, properties.items, properties.count);
        if (code != 0) return hvl_push_error(L, "disconnect", code);
        /* Between two attempts nothing is there whose end could be told. */
        if (was_idle) client_drop(L);
    }
    if (self->mqtt == NULL || !waits) {
        lua_pushboolean(L, 1);
        return 1;
    }
    self->closer = hvl_wait_begin(L, "disconnect", -1, NULL, NULL);
    return hvl_wait(L);
}

/* reconnect(): drops the connection of the moment. */
static int client_reconnect(lua_State *L) { return command(L, "reconnect", hmqtt_reconnect); }

static int client_ref(lua_State *L) {
    hvl_mqtt_t *self = check_client(L);
    if (self->mqtt != NULL) hmqtt_ref(self->mqtt);
    return 0;
}

static int client_unref(lua_State *L) {
    hvl_mqtt_t *self = check_client(L);
    if (self->mqtt != NULL) hmqtt_unref(self->mqtt);
    return 0;
}

/* ---- Facts ---- */

static int client_facts(lua_State *L) {
    hvl_mqtt_t *self = check_client(L);
    lua_createtable(L, 0, 8);
    set_flag(L, "connected", self->mqtt != NULL && hmqtt_is_connected(self->mqtt));
    set_flag(L, "closed", self->mqtt == NULL);
    if (self->mqtt == NULL) return 1;
    set_number(L, "version", hmqtt_version(self->mqtt));
    set_number(L, "inflight", (lua_Integer)hmqtt_inflight(self->mqtt));
    set_number(L, "queued", (lua_Integer)hmqtt_queued(self->mqtt));
    set_number(L, "queued_bytes", (lua_Integer)hmqtt_queued_bytes(self->mqtt));
    set_number(L, "received", (lua_Integer)self->queued);
    set_number(L, "store_dropped", (lua_Integer)hmqtt_store_dropped(self->mqtt));
    lua_pushstring(L, hmqtt_client_id(self->mqtt));
    lua_setfield(L, -2, "client_id");
    hvl_mqtt_push_properties(L, hmqtt_server_properties(self->mqtt));
    lua_setfield(L, -2, "server");
    return 1;
}

/* matches(filter, topic) */
static int matches(lua_State *L) {
    lua_pushboolean(L, hmqtt_filter_matches(hvl_mqtt_check_text(L, 1, "hv.mqtt.matches: filter"),
                                            hvl_mqtt_check_text(L, 2, "hv.mqtt.matches: topic")));
    return 1;
}

static int reason_text(lua_State *L) {
    int64_t reason = hvl_check_integer(L, 1, "hv.mqtt.reason_text: reason", 0, 255);
    lua_pushstring(L, hmqtt_reason_text((uint8_t)reason));
    return 1;
}

static int client_gc(lua_State *L) {
    hvl_mqtt_t *self = lua_touserdata(L, 1);
    drop_queue(self);
    free_list(&self->spare);
    free_list(&self->drains);
    return 0;
}

int hvl_open_mqtt(lua_State *L) {
    static const luaL_Reg functions[] = {{"new", new_client},
                                         {"matches", matches},
                                         {"reason_text", reason_text},
                                         {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"start", client_start},     {"open", client_open},           {"drop", client_drop},
        {"disconnect", client_disconnect}, {"publish", hvl_mqtt_publish}, {"call", hvl_mqtt_call},
        {"auth", hvl_mqtt_auth},       {"reconnect", client_reconnect}, {"facts", client_facts},
        {"ref", client_ref},         {"unref", client_unref},
        {NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__gc", client_gc}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    lua_newtable(L);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &hvl_mqtt_class, methods, metamethods);
    lua_setfield(L, -2, "methods");
    return 1;
}
