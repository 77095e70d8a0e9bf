/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_GATEWAY_DEMO_H
#define RINGGATE_GATEWAY_DEMO_H

/* `ringgate demo`: a gateway to try in five minutes. Needs nothing but
 * itself: makes a CA and certificates that live for a day, starts backends of
 * its own (gateway/echo.h), writes a configuration to a directory of its own
 * under $TMPDIR, serves it in the foreground on 127.0.0.1 and removes the
 * directory at the end. */

/* argv[0] is "demo". Takes the options of run except --config, and
 *   --port N        HTTPS port to try first (8443); the others follow their own defaults
 *   --redis ADDRESS share the limit of /limited through this Redis
 * Returns the process's exit code. */
int demo_run(int argc, char **argv);

#endif
