/* place.c - where tasks come from: the lines that start them, and a warning of those that hold the
 * loop up.
 *
 * A place is a line that calls hv.go, together with the place that started the task which ran that
 * line, and so on outward. Places are interned: whoever starts a task from the same line in the
 * same way gets the same place, so a task carries one pointer, and a program has as many places as
 * it has such lines. They live as long as the state; where there would be too many (code that is
 * made at run time), further ones are unknown.
 *
 * The source's name is compared by its address. Lua interns strings, and a place anchors its own,
 * so no other string can come to lie there. */
#include "bind.h"

#define PLACES_MAX  1024
#define SLOTS       2048 /* a power of two above PLACES_MAX */
#define DEPTH_MAX   8    /* of a chain: that of a task which starts itself anew never ends */
#define SLOW_MAX    256  /* places that are remembered as warned of */

struct hvl_place_s {
    const char *source;
    const hvl_place_t *parent;
    int line;
    int depth;
    int is_ours; /* no place of the user's: only remembered as such */
    char text[LUA_IDSIZE + 12];
};

struct hvl_places_s {
    int count;
    int warned_count;
    const hvl_place_t *slots[SLOTS];
    uint32_t warned[SLOW_MAX];
};

/* The state's places, made on first use: a program that starts no tasks has none. */
static hvl_places_t *places_of(hvl_t *rt) {
    if (rt->places == NULL) {
        hvl_places_t *places = lua_newuserdata(rt->L, sizeof *places);
        luaL_ref(rt->L, LUA_REGISTRYINDEX);
        memset(places, 0, sizeof *places);
        rt->places = places;
    }
    return rt->places;
}

/* ---- Starting places ---- */

static const hvl_place_t *add_place(lua_State *L, const lua_Debug *at, const hvl_place_t *parent) {
    hvl_place_t *place = lua_newuserdata(L, sizeof *place);
    luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushstring(L, at->source);
    place->source = lua_tostring(L, -1);
    luaL_ref(L, LUA_REGISTRYINDEX);
    place->parent = parent;
    place->line = at->currentline;
    place->is_ours = hvl_is_ours(at);
    place->depth = parent != NULL ? parent->depth + 1 : 1;
    snprintf(place->text, sizeof place->text, "%s:%d", at->short_src, at->currentline);
    return place;
}

static const hvl_place_t *intern(lua_State *L, const lua_Debug *at, const hvl_place_t *parent) {
    hvl_places_t *places = places_of(hvl_self(L));
    while (parent != NULL && parent->depth >= DEPTH_MAX) parent = parent->parent;
    uint64_t mixed = ((uintptr_t)at->source ^ ((uintptr_t)parent << 7)) + (unsigned)at->currentline;
    uint32_t slot = (uint32_t)((mixed * UINT64_C(0x9e3779b97f4a7c15)) >> 40);
    for (;; slot++) {
        const hvl_place_t *found = places->slots[slot % SLOTS];
        if (found == NULL) break;
        if (found->line == at->currentline && found->source == at->source &&
            found->parent == parent) {
            return found;
        }
    }
    if (places->count >= PLACES_MAX) return NULL;
    const hvl_place_t *place = add_place(L, at, parent);
    places->slots[slot % SLOTS] = place;
    places->count++;
    return place;
}

const hvl_place_t *hvl_place_here(lua_State *L, const hvl_place_t *parent) {
    lua_Debug at;
    for (int level = 1; lua_getstack(L, level, &at); level++) {
        lua_getinfo(L, "Sl", &at);
        if (at.currentline <= 0) continue; /* a function of C */
        const hvl_place_t *place = intern(L, &at, parent);
        if (place == NULL || !place->is_ours) return place;
    }
    return parent;
}

void hvl_place_append(lua_State *L, const hvl_place_t *place) {
    int count = 1;
    for (; place != NULL; place = place->parent, count++) {
        lua_pushfstring(L, "\n\ttask started at %s", place->text);
    }
    lua_concat(L, count);
}

/* ---- Tracebacks ---- */

/* A coroutine that has died in a function of Lua no longer knows the line of its innermost call,
 * but the message begins with it: "file.lua:3: attempt ..." over "file.lua: in function
 * <file.lua:1>". Puts it there, in the traceback on top of the stack. */
static void add_line(lua_State *L, const char *message) {
    static const char head[] = "\nstack traceback:\n\t";
    const char *text = lua_tostring(L, -1);
    size_t start = strlen(message) + sizeof head - 1;
    if (strlen(text) < start) return;
    const char *frame = text + start;
    const char *end = strstr(frame, ": in ");
    if (end == NULL) return;
    size_t len = (size_t)(end - frame);
    if (strncmp(message, frame, len) != 0 || message[len] != ':') return;
    size_t digits = strspn(message + len + 1, "0123456789");
    if (digits == 0 || message[len + 1 + digits] != ':') return;
    lua_pushlstring(L, text, (size_t)(end - text));
    lua_pushlstring(L, message + len, digits + 1);
    lua_pushstring(L, end);
    lua_concat(L, 3);
    lua_replace(L, -2);
}

/* Takes the outermost frames away that are ours, such as the links of middleware: who reads it
 * looks for lines of his own. Where there are only ours it is our mistake, and all of them stay. */
static void cut_our_end(lua_State *L) {
    static const char ours[] = "\n\t[hv.";
    const char *text = lua_tostring(L, -1);
    size_t len = strlen(text), kept = len;
    for (size_t at = len; at > 0; at--) {
        if (text[at - 1] != '\n') continue;
        if (strncmp(text + at - 1, ours, sizeof ours - 1) != 0) break;
        kept = at - 1;
    }
    static const char head[] = "stack traceback:";
    size_t head_len = sizeof head - 1;
    if (kept == len || (kept >= head_len && memcmp(text + kept - head_len, head, head_len) == 0)) {
        return;
    }
    lua_pushlstring(L, text, kept);
    lua_replace(L, -2);
}

void hvl_push_traceback(lua_State *L, const hvl_task_t *task, const char *message) {
    luaL_traceback(L, task->co, message, 0);
    add_line(L, message);
    cut_our_end(L);
    hvl_place_append(L, task->place);
}

/* ---- Slow callbacks ---- */

/* Whether this is the first time; the hash of the place stands for it. */
static int is_first_time(hvl_t *rt, const char *text) {
    hvl_places_t *places = places_of(rt);
    uint32_t hash = 2166136261u;
    for (; *text != '\0'; text++) hash = (hash ^ (unsigned char)*text) * 16777619u;
    for (int i = 0; i < places->warned_count; i++) {
        if (places->warned[i] == hash) return 0;
    }
    if (places->warned_count == SLOW_MAX) return 0;
    places->warned[places->warned_count++] = hash;
    return 1;
}

/* Writes where the nearest function of the user's stands on the stack of a task that waits. */
static int waiting_point(lua_State *co, char *text, size_t bytes) {
    lua_Debug at;
    for (int level = 0; lua_getstack(co, level, &at); level++) {
        lua_getinfo(co, "Sl", &at);
        if (at.currentline <= 0 || hvl_is_ours(&at)) continue;
        snprintf(text, bytes, "up to its wait at %s:%d", at.short_src, at.currentline);
        return 1;
    }
    return 0;
}

void hvl_warn_slow_in(hvl_t *rt, const char *where, int64_t ms) {
    if (!is_first_time(rt, where)) return;
    hvl_warn("the loop was held up for %lld ms %s (hv.slow_callback)", (long long)ms, where);
}

void hvl_warn_slow(hvl_t *rt, lua_State *waiting, const hvl_place_t *place, int64_t ms) {
    char text[128];
    lua_Debug at;
    int has_function = lua_isfunction(rt->L, -1);
    if (has_function) {
        lua_pushvalue(rt->L, -1);
        lua_getinfo(rt->L, ">S", &at);
    }
    if (waiting != NULL && waiting_point(waiting, text, sizeof text)) {
        /* That is nearest. */
    } else if (has_function && !hvl_is_ours(&at)) {
        snprintf(text, sizeof text, "in the function at %s:%d", at.short_src, at.linedefined);
    } else if (place != NULL) {
        snprintf(text, sizeof text, "in a task started at %s", place->text);
    } else if (has_function) {
        snprintf(text, sizeof text, "in a function called by %s", at.short_src);
    } else {
        snprintf(text, sizeof text, "in a task that had waited before");
    }
    hvl_warn_slow_in(rt, text, ms);
}
