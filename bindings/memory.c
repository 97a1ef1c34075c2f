/* memory.c - a Lua state that may hold so much memory and no more.
 *
 * Blocks come from the allocator that LuaJIT brings; this only counts. To return NULL at the limit
 * would not do: LuaJIT raises its error at once, without looking for garbage first, and the LuaJIT
 * of Debian 12 crashes where that happens inside compiled code (its stack pointer is stale there).
 * So:
 *
 *   - From half of the limit on the collector is set to work each time a thirty-second more is
 *     held. LUA_GCRESTART only writes a number, so it may be called in here.
 *   - Beyond the limit a block is still given, and a hook set, as a signal handler would. It runs
 *     before the next instruction of Lua code, collects all garbage, and only if that has not
 *     helped raises the error. Compiled code runs no hooks, but the collector leaves it when it
 *     comes to its atomic phase: until the hook has run, its steps go all the way there.
 *   - NULL is for what the hook would come too late for: a block larger than the reserve, or a
 *     function of C that takes and takes. Compiled code, told by a return address that is in no
 *     file, gets even that.
 *
 * While no Lua runs there is no limit: what the runtime does then is bounded by the buffers that it
 * reads into, and has nobody whom an error could be given to. */
#include "bind.h"

#include <dlfcn.h>
#include <unwind.h>

#define FRAMES_MAX 64

struct hvl_memory_s {
    lua_Alloc allocate;
    void *allocate_data;
    lua_State *L;
    size_t used;
    size_t max;
    size_t reserve; /* beyond it: what a block may be, and the collector's own needs */
    size_t wake_at; /* bytes at which the collector is set to work */
    int is_limited; /* Lua runs */
    int is_hooked;
    int step_mul; /* what the collector's steps were worth before the hook was set */
};

static size_t next_wake(const hvl_memory_t *memory) {
    size_t half = memory->max / 2, next = memory->used + memory->max / 32;
    return next > half ? next : half;
}

/* Collects until `goal` bytes are left, or it does not help. LuaJIT's buffer for strings that are
 * put together is only halved by each collection. */
static void collect(hvl_memory_t *memory, size_t goal) {
    size_t before;
    do {
        before = memory->used;
        lua_gc(memory->L, LUA_GCCOLLECT, 0);
    } while (memory->used > goal && memory->used < before - before / 4);
}

/* Before an instruction of Lua code, after the limit was passed. A sixteenth must be free, or there
 * would be a whole collection for every few blocks. */
static void on_limit(lua_State *L, lua_Debug *at) {
    (void)at;
    void *data;
    lua_getallocf(L, &data);
    hvl_memory_t *memory = data;
    lua_sethook(L, NULL, 0, 0);
    lua_gc(L, LUA_GCSETSTEPMUL, memory->step_mul);
    memory->is_hooked = 0;
    if (!memory->is_limited) return;
    size_t goal = memory->max - memory->max / 16;
    collect(memory, goal);
    if (memory->used > goal) luaL_error(L, HVL_MEMORY_TEXT);
}

static _Unwind_Reason_Code look_at_frame(struct _Unwind_Context *frame, void *data) {
    int *left = data;
    Dl_info info;
    void *address = (void *)_Unwind_GetIP(frame); // NOLINT
    if (address != NULL && dladdr(address, &info) == 0) {
        *left = -1;
        return _URC_END_OF_STACK;
    }
    return --*left > 0 ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static int is_compiled_code_running(void) {
    int left = FRAMES_MAX;
    _Unwind_Backtrace(look_at_frame, &left);
    return left < 0;
}

/* Whether `more` bytes are given beyond the limit. */
static int may_pass_limit(hvl_memory_t *memory, size_t more) {
    int is_too_late = more > memory->reserve ||
                      memory->used + more > memory->max * 2 + memory->reserve;
    if (is_too_late && !is_compiled_code_running()) return 0;
    /* The script may have set a hook of its own meanwhile. */
    if (lua_gethook(memory->L) != on_limit) lua_sethook(memory->L, on_limit, LUA_MASKCOUNT, 1);
    if (!memory->is_hooked) {
        memory->is_hooked = 1;
        memory->step_mul = lua_gc(memory->L, LUA_GCSETSTEPMUL, 0); /* 0: steps without an end */
    }
    lua_gc(memory->L, LUA_GCRESTART, 0);
    return 1;
}

static void *allocate(void *data, void *block, size_t old_size, size_t new_size) {
    hvl_memory_t *memory = data;
    if (new_size > old_size && memory->is_limited) {
        size_t more = new_size - old_size;
        if (memory->used + more > memory->max && !may_pass_limit(memory, more)) return NULL;
    }
    void *result = memory->allocate(memory->allocate_data, block, old_size, new_size);
    if (result == NULL && new_size > 0) return NULL;
    memory->used = memory->used - old_size + new_size;
    if (memory->used > memory->wake_at) {
        memory->wake_at = next_wake(memory);
        lua_gc(memory->L, LUA_GCRESTART, 0);
    } else if (memory->used + memory->max / 16 < memory->wake_at) {
        memory->wake_at = next_wake(memory);
    }
    return result;
}

lua_State *hvl_memory_new_state(hvl_memory_t **memory_out, size_t max) {
    *memory_out = NULL;
    lua_State *L = luaL_newstate();
    if (L == NULL || max == 0) return L;
    void *data;
    lua_Alloc own = lua_getallocf(L, &data);
    hvl_memory_t *memory = own(data, NULL, 0, sizeof *memory);
    if (memory == NULL) {
        lua_close(L);
        return NULL;
    }
    *memory = (hvl_memory_t){.allocate = own, .allocate_data = data, .L = L, .max = max};
    memory->reserve = max / 8 + (1 << 20);
    memory->used = (size_t)lua_gc(L, LUA_GCCOUNT, 0) * 1024 + (size_t)lua_gc(L, LUA_GCCOUNTB, 0);
    memory->wake_at = next_wake(memory);
    lua_setallocf(L, allocate, memory);
    lua_gc(L, LUA_GCSETSTEPMUL, 400);
    *memory_out = memory;
    return L;
}

/* LuaJIT knows its allocator again and frees the arena at once. */
void hvl_memory_close_state(hvl_memory_t *memory, lua_State *L) {
    if (memory != NULL) {
        lua_Alloc own = memory->allocate;
        void *data = memory->allocate_data;
        if (memory->is_hooked) lua_sethook(L, NULL, 0, 0);
        lua_setallocf(L, own, data);
        own(data, memory, sizeof *memory, 0);
    }
    lua_close(L);
}

int hvl_memory_enter(hvl_memory_t *memory, int is_limited) {
    if (memory == NULL) return is_limited;
    int before = memory->is_limited;
    /* What has come in between may have to make room first. */
    if (is_limited && !before && memory->used > memory->max) collect(memory, memory->max);
    memory->is_limited = is_limited;
    return before;
}

int hvl_memory_is_out(int status, const char *message) {
    if (status == LUA_ERRMEM) return 1;
    size_t len = message != NULL ? strlen(message) : 0;
    return len >= sizeof HVL_MEMORY_TEXT - 1 &&
           strcmp(message + len - (sizeof HVL_MEMORY_TEXT - 1), HVL_MEMORY_TEXT) == 0;
}
