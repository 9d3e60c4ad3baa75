/* One GET of any URL, for looking whether somebody answers there: a probe where no shell is. */
#include "kubeclient/priv.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is the library's */
static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct buf *into = ctx;
    size_t all = size * n, room = into->max - into->n; /* the rest is read and thrown away */
    buf_add(into, (struct str){p, all < room ? all : room});
    return all;
}

#define SET(option, value)                                                                         \
    if (!rc)                                                                                       \
    rc = curl_easy_setopt(e, option, value)

enum err_code kube_probe(const char *url, const char *ca_file, int timeout_ms, int *ret_status,
                         struct buf *ret_body, struct err *err)
{
    char text[CURL_ERROR_SIZE] = "";
    long status = 0;
    CURL *e = curl_easy_init();
    if (!e)
        return err_set(err, ERR_NO_MEMORY, "%s: no memory", url);
    CURLcode rc = curl_easy_setopt(e, CURLOPT_ERRORBUFFER, text);
    SET(CURLOPT_URL, url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_PROXY, ""); /* it asks there and nobody in between */
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, ret_body);
    if (ca_file) {
        SET(CURLOPT_CAINFO, ca_file);
        SET(CURLOPT_CAPATH, NULL); /* that one, and nobody else's */
    }
    if (!rc)
        rc = curl_easy_perform(e);
    if (!rc)
        rc = curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(e);
    if (rc)
        return err_set(err, rc == CURLE_OUT_OF_MEMORY ? ERR_NO_MEMORY : ERR_UNAVAILABLE, "%s: %s",
                       url, *text ? text : curl_easy_strerror(rc));
    *ret_status = (int)status;
    return ERR_OK;
}
