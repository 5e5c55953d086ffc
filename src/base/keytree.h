/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_KEYTREE_H
#define BASE_KEYTREE_H

/*
 * 64-bit keys to intrusive entries, any number of them to a key, in the order
 * in which they were added. Nothing is allocated, so adding cannot fail, and
 * nothing is ever moved to another size: the longest call is 32 steps, and
 * usually half as many as the number of keys has bits.
 *
 *   root -> [key 7] -+-> [key 3] ...     two bits of the hash of the key a
 *              |     +-> [key 9]         level; no two keys have the same hash
 *              same -> [key 7] -> [key 7] the first added is in the tree, the
 *                                        others hang on it
 *
 * A zeroed struct is an empty tree. Not thread-safe; the lock of whoever owns
 * the root covers it.
 */

#include <stdint.h>

#include "base/list.h"

#define KEYTREE_WAYS 4

struct keyed {
	uint64_t key;
	struct list same;	/* all entries of a key, a ring */
	struct keyed **at;	/* what points here; NULL: not in the tree */
	struct keyed *below[KEYTREE_WAYS];
};

struct keytree {
	struct keyed *root;
};

/* In no tree: to be done once, before any of the others. */
void keyed_init(struct keyed *entry);
void keytree_add(struct keytree *tree, uint64_t key, struct keyed *entry);
/* The first that was added with the key, or NULL. */
struct keyed *keytree_first(const struct keytree *tree, uint64_t key);
/* Out of the tree it is in; in none, nothing happens. */
void keytree_del(struct keyed *entry);

#endif
