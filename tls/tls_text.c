/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include "tls/tls_text.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "base/panic.h"

#define TLS_TEXT_VERIFY_MAX 128

static const char *tls_text_verify_table[TLS_TEXT_VERIFY_MAX];

/* RFC 8446 6, B.2; RFC 5246 7.2; RFC 7301 3.2. */
static const char *const tls_text_alerts[256] = {
    [0] = "TLS: peer alert: close notify",
    [10] = "TLS: peer alert: unexpected message",
    [20] = "TLS: peer alert: bad record mac",
    [21] = "TLS: peer alert: decryption failed",
    [22] = "TLS: peer alert: record overflow",
    [30] = "TLS: peer alert: decompression failure",
    [40] = "TLS: peer alert: handshake failure",
    [41] = "TLS: peer alert: no certificate",
    [42] = "TLS: peer alert: bad certificate",
    [43] = "TLS: peer alert: unsupported certificate",
    [44] = "TLS: peer alert: certificate revoked",
    [45] = "TLS: peer alert: certificate expired",
    [46] = "TLS: peer alert: certificate unknown",
    [47] = "TLS: peer alert: illegal parameter",
    [48] = "TLS: peer alert: unknown ca",
    [49] = "TLS: peer alert: access denied",
    [50] = "TLS: peer alert: decode error",
    [51] = "TLS: peer alert: decrypt error",
    [70] = "TLS: peer alert: protocol version",
    [71] = "TLS: peer alert: insufficient security",
    [80] = "TLS: peer alert: internal error",
    [86] = "TLS: peer alert: inappropriate fallback",
    [90] = "TLS: peer alert: user canceled",
    [100] = "TLS: peer alert: no renegotiation",
    [109] = "TLS: peer alert: missing extension",
    [110] = "TLS: peer alert: unsupported extension",
    [112] = "TLS: peer alert: unrecognized name",
    [113] = "TLS: peer alert: bad certificate status response",
    [115] = "TLS: peer alert: unknown psk identity",
    [116] = "TLS: peer alert: certificate required",
    [120] = "TLS: peer alert: no application protocol",
};

static const struct {
    int reason;
    const char *text;
} tls_text_reasons[] = {
    {SSL_R_HTTP_REQUEST, "TLS: the client speaks plain HTTP"},
    {SSL_R_HTTPS_PROXY_REQUEST, "TLS: the client speaks plain HTTP"},
    {SSL_R_WRONG_VERSION_NUMBER, "TLS: what came is not TLS"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "TLS: no protocol version in common"},
    {SSL_R_VERSION_TOO_LOW, "TLS: no protocol version in common"},
    {SSL_R_NO_SHARED_CIPHER, "TLS: no cipher in common"},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, "TLS: no signature algorithm in common"},
    {SSL_R_NO_SUITABLE_KEY_SHARE, "TLS: no key exchange group in common"},
    {SSL_R_NO_APPLICATION_PROTOCOL, "TLS: no application protocol in common"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "TLS: the peer sent no certificate"},
    {SSL_R_BAD_EXTENSION, "TLS: bad extension"},
    {SSL_R_BAD_SIGNATURE, "TLS: bad signature"},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "TLS: bad record mac"},
    {SSL_R_DIGEST_CHECK_FAILED, "TLS: bad finished message"},
    {SSL_R_ENCRYPTED_LENGTH_TOO_LONG, "TLS: record too long"},
    {SSL_R_PACKET_LENGTH_TOO_LONG, "TLS: record too long"},
    {SSL_R_EXCESSIVE_MESSAGE_SIZE, "TLS: handshake message too long"},
    {SSL_R_LENGTH_MISMATCH, "TLS: malformed message"},
    {SSL_R_LENGTH_TOO_SHORT, "TLS: malformed message"},
    {SSL_R_UNEXPECTED_MESSAGE, "TLS: unexpected message"},
    {SSL_R_UNEXPECTED_RECORD, "TLS: unexpected record"},
    {SSL_R_BAD_RECORD_TYPE, "TLS: unexpected record"},
    {SSL_R_TOO_MANY_WARN_ALERTS, "TLS: too many warnings"},
    {SSL_R_RECORD_TOO_SMALL, "TLS: too many empty records"},
    {SSL_R_UNSAFE_LEGACY_RENEGOTIATION_DISABLED, "TLS: the peer lacks secure renegotiation"},
    {SSL_R_DH_KEY_TOO_SMALL, "TLS: the peer's key is too small"},
};

void tls_text_init(void)
{
    if (tls_text_verify_table[0])
        return;
    for (long i = 0; i < TLS_TEXT_VERIFY_MAX; i++)
        tls_text_verify_table[i] = xasprintf(
            "TLS: certificate verify failed: %s",
            i == TLS_TEXT_NO_SAN ? "no subjectAltName matches" : X509_verify_cert_error_string(i));
}

const char *tls_text_verify(long code)
{
    if (code < 0 || code >= TLS_TEXT_VERIFY_MAX || !tls_text_verify_table[code])
        return "TLS: certificate verify failed";
    return tls_text_verify_table[code];
}

const char *tls_text_alert(uint8_t code)
{
    return tls_text_alerts[code] ? tls_text_alerts[code] : "TLS: peer alert";
}

const char *tls_text_error(unsigned long error)
{
    int reason = ERR_GET_REASON(error);

    if (ERR_GET_LIB(error) != ERR_LIB_SSL)
        return "TLS: protocol error";
    /* Reasons above the offset are alerts that the peer sent. */
    if (reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256)
        return tls_text_alert((uint8_t)(reason - SSL_AD_REASON_OFFSET));
    for (size_t i = 0; i < ARRAY_COUNT(tls_text_reasons); i++) {
        if (tls_text_reasons[i].reason == reason)
            return tls_text_reasons[i].text;
    }
    return "TLS: protocol error";
}
