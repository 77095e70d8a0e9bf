/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_HTTP_H2_INPUT_H
#define RINGGATE_HTTP_H2_INPUT_H

/* What nghttp2 tells of the frames of a session: counted by h2_guard, checked where nghttp2 does
 * not, and passed to the streams. Private to http/h2_*. */

#include "http/h2_session.h"

/* The callbacks of all sessions; freed by nghttp2_session_callbacks_del. Panics without memory. */
nghttp2_session_callbacks *h2_input_callbacks(void);

/* Gives input to nghttp2, frame by frame. 0 or more; an error of nghttp2's. All of it is dealt
 * with.
 */
ssize_t h2_input_feed(struct h2_session *s, struct span in);

#endif
