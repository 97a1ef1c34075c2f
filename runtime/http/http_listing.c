/* http_listing.c - a directory as a page of links. Names are anybody's bytes: they are
 * percent-encoded in the link, behind "./" so that none is taken for a scheme, and escaped in the
 * text. */
#include "http_file.h"

#define PAGE_BYTES_MAX (64u << 20)

static int put(hbuf_t *page, const char *text, size_t len) {
    return hbuf_append(page, text, len, PAGE_BYTES_MAX);
}

static int put_text(hbuf_t *page, const char *text) { return put(page, text, strlen(text)); }

static int put_escaped(hbuf_t *page, const char *text) {
    int code = 0;
    for (; *text != '\0' && code == 0; text++) {
        switch (*text) {
        case '<': code = put_text(page, "&lt;"); break;
        case '>': code = put_text(page, "&gt;"); break;
        case '&': code = put_text(page, "&amp;"); break;
        case '"': code = put_text(page, "&quot;"); break;
        case '\'': code = put_text(page, "&#39;"); break;
        default: code = put(page, text, 1);
        }
    }
    return code;
}

static int put_encoded(hbuf_t *page, const char *name) {
    static const char hex[] = "0123456789ABCDEF";
    int code = 0;
    for (; *name != '\0' && code == 0; name++) {
        unsigned char byte = (unsigned char)*name;
        int is_plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= '0' && byte <= '9') || strchr("-._~", byte) != NULL;
        char escape[3] = {'%', hex[byte >> 4], hex[byte & 15]};
        code = is_plain ? put(page, name, 1) : put(page, escape, 3);
    }
    return code;
}

static int put_entry(hbuf_t *page, const hfs_entry_t *entry) {
    const char *slash = entry->type == HFS_TYPE_DIRECTORY ? "/" : "";
    int code = put_text(page, "<li><a href=\"./");
    if (code == 0) code = put_encoded(page, entry->name);
    if (code == 0) code = put_text(page, slash);
    if (code == 0) code = put_text(page, "\">");
    if (code == 0) code = put_escaped(page, entry->name);
    if (code == 0) code = put_text(page, slash);
    return code == 0 ? put_text(page, "</a></li>\n") : code;
}

static int write_page(hbuf_t *page, const http_job_t *job, const hfs_req_t *fs_req) {
    const hfs_entry_t *entries = hfs_entries(fs_req);
    int64_t count = hfs_result(fs_req);
    int code = put_text(page, "<!DOCTYPE html>\n<html>\n<head><meta charset=\"utf-8\"><title>/");
    if (code == 0) code = put_escaped(page, job->path);
    if (code == 0) code = put_text(page, "</title></head>\n<body>\n<h1>/");
    if (code == 0) code = put_escaped(page, job->path);
    if (code == 0) code = put_text(page, "</h1>\n<ul>\n");
    if (code == 0 && job->path_len > 0) {
        code = put_text(page, "<li><a href=\"../\">../</a></li>\n");
    }
    /* Directories first. */
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < count && code == 0; i++) {
            int is_directory = entries[i].type == HFS_TYPE_DIRECTORY;
            if (is_directory == pass) continue;
            if (entries[i].name[0] == '.' && !job->files->options.shows_hidden) continue;
            code = put_entry(page, &entries[i]);
        }
    }
    return code == 0 ? put_text(page, "</ul>\n</body>\n</html>\n") : code;
}

static void on_scanned(hfs_req_t *fs_req) {
    static const hhttp_header_t headers[] = {
        {{"Content-Type", 12}, {"text/html; charset=utf-8", 24}},
        /* A page of other people's names runs nothing. */
        {{"Content-Security-Policy", 23}, {"default-src 'none'", 18}},
    };
    http_job_t *job = hevent_userdata(fs_req);
    job->pending = NULL;
    if (hv__http_job_is_over(job)) return;
    hbuf_t page = {0};
    int code = hfs_error(fs_req);
    if (code == 0) code = write_page(&page, job, fs_req);
    if (code != 0) {
        hv__http_job_status(job, code == -EACCES ? 403 : 503);
    } else {
        code = hhttp_respond_with(job->req, 200, headers, 2, hbuf_data(&page), hbuf_len(&page));
        hv__http_job_finish(job, code);
    }
    hbuf_deinit(&page);
}

void hv__http_job_list(http_job_t *job) {
    job->pending = hfs_scan_fd(job->files->loop, job->fd, on_scanned);
    if (job->pending != NULL) {
        hevent_set_userdata(job->pending, job);
    } else {
        hv__http_job_status(job, 503);
    }
}
