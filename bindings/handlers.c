/* handlers.c - the options and functions of a connection, or shared by all connections of a server.
 *
 * The functions lie in the registry, so a set of handlers is counted by its holders (the server and
 * each open connection) and gives them back with the last one. lua/hv/tcp.lua has checked every
 * value before. */
#include "conn.h"
#include "fields.h"

static const hvl_class_t handlers_class = {"hv.handlers"};

int hvl_unpack_setting(lua_State *L, int index, unpack_setting_t *setting) {
    *setting = (unpack_setting_t){.package_max_length = hvl_field_count(L, index, "max_length")};
    if (hvl_field_is(L, index, "mode", "fixed")) {
        setting->mode = UNPACK_BY_FIXED_LENGTH;
        setting->fixed_length = hvl_field_count(L, index, "length");
    } else if (hvl_field_is(L, index, "mode", "delimiter")) {
        size_t len;
        setting->mode = UNPACK_BY_DELIMITER;
        const char *delimiter = hvl_field_string(L, index, "delimiter", &len);
        if (len > sizeof setting->delimiter) len = 0;
        if (len > 0) memcpy(setting->delimiter, delimiter, len);
        setting->delimiter_bytes = (unsigned short)len;
    } else {
        setting->mode = UNPACK_BY_LENGTH_FIELD;
        setting->body_offset = (unsigned short)hvl_field_count(L, index, "body_offset");
        setting->length_field_offset =
            (unsigned short)hvl_field_count(L, index, "length_field_offset");
        setting->length_field_bytes =
            (unsigned short)hvl_field_count(L, index, "length_field_bytes");
        setting->length_adjustment = (short)hvl_field_number(L, index, "length_adjustment");
        setting->length_field_coding =
            hvl_field_is(L, index, "length_field_coding", "little")   ? ENCODE_BY_LITTLE_ENDIAN
            : hvl_field_is(L, index, "length_field_coding", "varint") ? ENCODE_BY_VARINT
                                                                       : ENCODE_BY_BIG_ENDIAN;
    }
    return unpack_setting_check(setting);
}

hvl_handlers_t *hvl_handlers_new(lua_State *L, hvl_t *rt, int index) {
    hvl_handlers_t *self = hvl_object_new(L, rt, &handlers_class, sizeof *self);
    self->on_task = hvl_ref_field(L, index, "on_task");
    self->on_open = hvl_ref_field(L, index, "on_open");
    self->on_message = hvl_ref_field(L, index, "on_message");
    self->on_drain = hvl_ref_field(L, index, "on_drain");
    self->on_close = hvl_ref_field(L, index, "on_close");
    self->read_timeout_ms = hvl_field_count(L, index, "read_timeout");
    self->write_timeout_ms = hvl_field_count(L, index, "write_timeout");
    self->idle_timeout_ms = hvl_field_count(L, index, "idle_timeout");
    self->write_high = hvl_field_count(L, index, "write_high");
    lua_getfield(L, index, "no_delay");
    self->is_delayed = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
    lua_pop(L, 1);
    lua_getfield(L, index, "unpack");
    if (lua_istable(L, -1)) {
        self->has_unpack = hvl_unpack_setting(L, lua_gettop(L), &self->unpack) == 0;
    }
    lua_pop(L, 1);
    return self;
}

void hvl_handlers_hold(lua_State *L, int index) {
    hvl_handlers_t *self = lua_touserdata(L, index);
    hvl_anchor(L, index);
    self->holders++;
}

void hvl_handlers_release(hvl_handlers_t *self) {
    if (self == NULL || --self->holders > 0) return;
    hvl_t *rt = self->object.rt;
    hvl_unref(rt, &self->on_task);
    hvl_unref(rt, &self->on_open);
    hvl_unref(rt, &self->on_message);
    hvl_unref(rt, &self->on_drain);
    hvl_unref(rt, &self->on_close);
    hvl_unanchor(self);
}

void hvl_handlers_open(lua_State *L, hvl_t *rt) {
    hvl_class_new(L, rt, &handlers_class, NULL, NULL);
    lua_pop(L, 1);
}
