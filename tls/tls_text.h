/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_TLS_TLS_TEXT_H
#define RINGGATE_TLS_TLS_TEXT_H

/* Why a TLS connection failed, as text that lives for ever (conn_fail wants that). */

/* Start-up, once. */
void tls_text_init(void);
/* For X509_V_ERR_*: "TLS: certificate verify failed: hostname mismatch". */
const char *tls_text_verify(long code);
/* For an entry of OpenSSL's error queue: "TLS: no cipher in common", "TLS: peer alert: unknown
 * ca" and the like; "TLS: protocol error" for what has no text of its own. */
const char *tls_text_error(unsigned long error);
/* For an alert of the peer, RFC 8446 6: "TLS: peer alert: unknown ca". */
const char *tls_text_alert(uint8_t code);

/* The X509_V_ERR_* for a certificate with none of the alternative names: OpenSSL has none, and
 * addresses of mail are never compared; the alert is right. */
#define TLS_TEXT_NO_SAN X509_V_ERR_EMAIL_MISMATCH

#define TLS_TEXT_KEY_UPDATES "TLS: too many key updates"

#endif
