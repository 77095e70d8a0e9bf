/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RINGGATE_BASE_DLIST_H
#define RINGGATE_BASE_DLIST_H

/* Intrusive doubly linked ring. A head and a link are the same struct; a link
 * that is in no list points to itself. */

#include "base/base.h"

struct dlist {
    struct dlist *next, *prev;
};

#define DLIST_INIT(head)                                                                           \
    {                                                                                              \
        &(head), &(head)                                                                           \
    }

static inline void dlist_init(struct dlist *link)
{
    link->next = link->prev = link;
}

static inline bool dlist_is_empty(const struct dlist *head)
{
    return head->next == head;
}

static inline bool dlist_is_linked(const struct dlist *link)
{
    return link->next != link;
}

static inline void dlist_insert_after(struct dlist *at, struct dlist *link)
{
    link->prev = at;
    link->next = at->next;
    at->next->prev = link;
    at->next = link;
}

static inline void dlist_push_front(struct dlist *head, struct dlist *link)
{
    dlist_insert_after(head, link);
}

static inline void dlist_push_back(struct dlist *head, struct dlist *link)
{
    dlist_insert_after(head->prev, link);
}

/* Safe on a link that is in no list. */
static inline void dlist_remove(struct dlist *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    link->next = link->prev = link;
}

/* First link, removed; NULL when empty. */
static inline struct dlist *dlist_pop_front(struct dlist *head)
{
    struct dlist *link = head->next;
    if (link == head)
        return NULL;
    dlist_remove(link);
    return link;
}

/* Moves all of `from` to the empty list `to`. */
static inline void dlist_take(struct dlist *to, struct dlist *from)
{
    if (dlist_is_empty(from)) {
        dlist_init(to);
        return;
    }
    *to = *from;
    to->next->prev = to;
    to->prev->next = to;
    dlist_init(from);
}

#define dlist_entry(link, type, member) container_of(link, type, member)
/* The body may remove `it`. `it` and `next` are struct dlist pointers. */
#define dlist_foreach(it, next, head)                                                              \
    for (struct dlist *it = (head)->next, *next = it->next; it != (head);                          \
         it = next, next = it->next)

#endif
