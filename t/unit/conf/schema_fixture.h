/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_T_UNIT_CONF_SCHEMA_FIXTURE_H
#define RINGGATE_T_UNIT_CONF_SCHEMA_FIXTURE_H

/* One document decoded by its schema, for the tests of schemas. */

#include "conf/schema.h"

#define GW "apiVersion: gateway.networking.k8s.io/v1\n"
#define OWN "apiVersion: ringgate.dev/v1alpha1\n"
#define META "metadata: {name: x, namespace: ns}\n"

#define ROUTE(rule) GW "kind: HTTPRoute\n" META "spec:\n  rules: [{" rule "}]\n"
#define UP "backendRefs: [{name: up, port: 80}]"

struct schema_fixture {
    struct diags diags;
    struct schema_output output;
    int result;
};

/* Fails when the text is no YAML. ret: schema_fixture_fini. */
void schema_fixture_decode(const char *text, struct schema_fixture *ret);
void schema_fixture_fini(struct schema_fixture *fixture);
/* Fails unless decoding gives these findings, one line each: "RG013 spec.field". */
void schema_fixture_expect(const char *text, const char *findings, bool is_good);

#endif
