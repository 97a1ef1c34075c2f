/* hmain_opt.c - the command line. parse_opt makes a table of its letters, so that there is one
 * parser; what is found is kept as (row of the table, value) and looked up by either name. */
#include "hproc_int.h"

#include "hmem.h"
#include "hstr.h"

/* Columns of the help text. */
#define MARGIN 2
#define GAP    4

typedef struct found_s {
    const option_t *option;
    char *value;
} found_t;

static found_t *found;
static int found_count;
static const option_t *table;
static int table_size;
static option_t *own_table; /* of parse_opt */

typedef struct parser_s {
    int argc;
    char **argv;
    int index;
    int code;
} parser_t;

void hv__main_free_options(void) {
    for (int i = 0; i < found_count; i++) hv__free(found[i].value);
    hv__free(found);
    for (int i = 0; i < g_main_ctx.arg_list_size; i++) hv__free(g_main_ctx.arg_list[i]);
    hv__free(g_main_ctx.arg_list);
    hv__free(own_table);
    found = NULL;
    own_table = NULL;
    table = NULL;
    g_main_ctx.arg_list = NULL;
    found_count = table_size = g_main_ctx.arg_list_size = 0;
}

static int complain(const char *format, const char *what, int len) {
    const char *name = g_main_ctx.program_name;
    fprintf(stderr, "%s%s", name, name[0] != '\0' ? ": " : "");
    fprintf(stderr, format, len, what);
    fputc('\n', stderr);
    return HV_EINVAL;
}

static int add_found(const option_t *option, const char *value) {
    char *copy = hv__strndup(value, strlen(value));
    if (copy == NULL) return HV_ENOMEM;
    for (int i = 0; i < found_count; i++) {
        if (found[i].option != option) continue;
        hv__free(found[i].value);
        found[i].value = copy;
        return 0;
    }
    found_t *grown = hv__realloc(found, (size_t)(found_count + 1) * sizeof(*grown));
    if (grown == NULL) {
        hv__free(copy);
        return HV_ENOMEM;
    }
    found = grown;
    found[found_count++] = (found_t){option, copy};
    return 0;
}

static int add_to_list(const char *text) {
    size_t size = (size_t)g_main_ctx.arg_list_size;
    char **grown = hv__realloc(g_main_ctx.arg_list, (size + 2) * sizeof(*grown));
    if (grown == NULL) return HV_ENOMEM;
    g_main_ctx.arg_list = grown;
    grown[size] = hv__strndup(text, strlen(text));
    if (grown[size] == NULL) return HV_ENOMEM;
    grown[size + 1] = NULL;
    g_main_ctx.arg_list_size++;
    return 0;
}

/* The value of an option that wants one: the rest of its own word, or the next word. */
static const char *value_of(parser_t *parser, const option_t *option, const char *attached) {
    if (attached != NULL) return attached;
    if (option->arg_type != REQUIRED_ARGUMENT) return "1";
    if (parser->index + 1 >= parser->argc) return NULL;
    return parser->argv[++parser->index];
}

static int parse_letters(parser_t *parser, const char *letters) {
    for (; *letters != '\0'; letters++) {
        const option_t *option = NULL;
        for (int i = 0; i < table_size && option == NULL; i++) {
            if (table[i].short_opt == *letters) option = &table[i];
        }
        if (option == NULL) return complain("unknown option '-%.*s'", letters, 1);
        bool takes_rest = option->arg_type != NO_ARGUMENT && letters[1] != '\0';
        const char *value = value_of(parser, option, takes_rest ? letters + 1 : NULL);
        if (value == NULL) return complain("option '-%.*s' needs a value", letters, 1);
        int code = add_found(option, value);
        if (code != 0 || takes_rest) return code;
    }
    return 0;
}

static int parse_word(parser_t *parser, const char *word) {
    const char *equals = strchr(word, '=');
    size_t len = equals != NULL ? (size_t)(equals - word) : strlen(word);
    const option_t *option = NULL;
    for (int i = 0; i < table_size && option == NULL; i++) {
        if (table[i].long_opt == NULL) continue;
        if (hstr_equals(hstr_from(table[i].long_opt), (hstr_t){word, len})) option = &table[i];
    }
    if (option == NULL) return complain("unknown option '--%.*s'", word, (int)len);
    if (equals != NULL && option->arg_type == NO_ARGUMENT) {
        return complain("option '--%.*s' takes no value", word, (int)len);
    }
    const char *value = value_of(parser, option, equals != NULL ? equals + 1 : NULL);
    if (value == NULL) return complain("option '--%.*s' needs a value", word, (int)len);
    return add_found(option, value);
}

static int parse(int argc, char **argv) {
    parser_t parser = {.argc = argc, .argv = argv, .index = 1};
    bool is_over = false;
    for (; parser.index < argc; parser.index++) {
        const char *text = argv[parser.index];
        int code;
        if (is_over || text[0] != '-' || text[1] == '\0') {
            code = add_to_list(text);
        } else if (text[1] != '-') {
            code = parse_letters(&parser, text + 1);
        } else if (text[2] == '\0') {
            is_over = true;
            code = 0;
        } else {
            code = parse_word(&parser, text + 2);
        }
        if (code != 0) return code;
    }
    return 0;
}

int parse_opt_long(int argc, char **argv, const option_t *options, int count) {
    hv__main_free_options();
    table = options;
    table_size = count;
    return parse(argc, argv);
}

int parse_opt(int argc, char **argv, const char *opt) {
    hv__main_free_options();
    own_table = hv__calloc(strlen(opt) + 1, sizeof(*own_table));
    if (own_table == NULL) return HV_ENOMEM;
    for (; *opt != '\0'; opt++) {
        if (*opt == ':') {
            if (table_size > 0) own_table[table_size - 1].arg_type++;
        } else {
            own_table[table_size++].short_opt = *opt;
        }
    }
    table = own_table;
    return parse(argc, argv);
}

const char *get_arg(const char *key) {
    for (int i = 0; i < found_count; i++) {
        const option_t *option = found[i].option;
        bool is_letter = key[0] != '\0' && key[1] == '\0' && option->short_opt == key[0];
        if (is_letter || (option->long_opt != NULL && strcmp(option->long_opt, key) == 0)) {
            return found[i].value;
        }
    }
    return NULL;
}

/* ---- Help ---- */

typedef struct text_s {
    char *out;
    size_t size;
    size_t len; /* of the whole text, also of what did not fit */
} text_t;

static void put(text_t *text, const char *bytes, size_t len) {
    if (text->len + 1 < text->size) {
        size_t room = text->size - 1 - text->len;
        memcpy(text->out + text->len, bytes, len < room ? len : room);
    }
    text->len += len;
}

static void put_blanks(text_t *text, size_t count) {
    while (count-- > 0) put(text, " ", 1);
}

static int end_text(text_t *text) {
    if (text->size > 0) text->out[text->len < text->size ? text->len : text->size - 1] = '\0';
    return (int)text->len;
}

/* "-c|--confile <confile>" */
static void put_names(text_t *text, const option_t *option) {
    const char *name = option->long_opt;
    if (option->short_opt != '\0') {
        put(text, "-", 1);
        put(text, &option->short_opt, 1);
    }
    if (option->short_opt != '\0' && name != NULL) put(text, "|", 1);
    if (name != NULL) {
        put(text, "--", 2);
        put(text, name, strlen(name));
    }
    if (option->arg_type == NO_ARGUMENT) return;
    bool is_required = option->arg_type == REQUIRED_ARGUMENT;
    if (name == NULL) name = "value";
    put(text, is_required ? " <" : "[=", 2);
    put(text, name, strlen(name));
    put(text, is_required ? ">" : "]", 1);
}

static size_t names_len(const option_t *option) {
    text_t measure = {0};
    put_names(&measure, option);
    return measure.len;
}

int dump_opt_long(const option_t *options, int count, char *out, int out_size) {
    text_t text = {out, out_size > 0 ? (size_t)out_size : 0, 0};
    size_t widest = 0;
    for (int i = 0; i < count; i++) {
        size_t len = names_len(&options[i]);
        if (len > widest) widest = len;
    }
    for (int i = 0; i < count; i++) {
        put_blanks(&text, MARGIN);
        put_names(&text, &options[i]);
        hstr_t rest = hstr_from(options[i].description != NULL ? options[i].description : "");
        hstr_t line;
        size_t column = MARGIN + names_len(&options[i]);
        bool has_text = rest.len > 0;
        while (has_text && hstr_next(&rest, '\n', &line)) {
            put_blanks(&text, MARGIN + widest + GAP - column);
            put(&text, line.data, line.len);
            put(&text, "\n", 1);
            column = 0;
        }
        if (!has_text) put(&text, "\n", 1);
    }
    return end_text(&text);
}

int dump_opt_short(const option_t *options, int count, char *out, int out_size) {
    text_t text = {out, out_size > 0 ? (size_t)out_size : 0, 0};
    for (int i = 0; i < count; i++) {
        if (options[i].short_opt == '\0') continue;
        put(&text, &options[i].short_opt, 1);
        put(&text, "::", (size_t)options[i].arg_type);
    }
    return end_text(&text);
}
