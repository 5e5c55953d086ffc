/* SPDX-License-Identifier: Apache-2.0 */
#include "base/keytree.h"

#include <stddef.h>

/* One to one, and each bit of the key changes half of the hash: whoever can
 * choose keys has to work for a deep tree, which is not deeper than 32. */
static uint64_t hash_of(uint64_t key)
{
	key = (key ^ key >> 32) * 0xd6e8feb86659fd93ull;
	key = (key ^ key >> 32) * 0xd6e8feb86659fd93ull;
	return key ^ key >> 32;
}

/* Where the key's entry is pointed at, or would be. */
static struct keyed **find(struct keyed **at, uint64_t key)
{
	for (uint64_t hash = hash_of(key); *at && (*at)->key != key;
	     hash /= KEYTREE_WAYS)
		at = &(*at)->below[hash % KEYTREE_WAYS];
	return at;
}

void keyed_init(struct keyed *entry)
{
	*entry = (struct keyed){0};
	list_init(&entry->same);
}

void keytree_add(struct keytree *tree, uint64_t key, struct keyed *entry)
{
	struct keyed **at = find(&tree->root, key);

	entry->key = key;
	if (*at) {
		list_add_tail(&(*at)->same, &entry->same);
		return;
	}
	entry->at = at;
	*at = entry;
}

struct keyed *keytree_first(const struct keytree *tree, uint64_t key)
{
	struct keyed *root = tree->root;

	return *find(&root, key);
}

/* Entry leaves its place to heir, which has none. */
static void replace(struct keyed *entry, struct keyed *heir)
{
	heir->at = entry->at;
	*heir->at = heir;
	for (int i = 0; i < KEYTREE_WAYS; i++) {
		heir->below[i] = entry->below[i];
		if (heir->below[i])
			heir->below[i]->at = &heir->below[i];
		entry->below[i] = NULL;
	}
}

static struct keyed *any_below(const struct keyed *entry)
{
	for (int i = 0; i < KEYTREE_WAYS; i++)
		if (entry->below[i])
			return entry->below[i];
	return NULL;
}

void keytree_del(struct keyed *entry)
{
	struct keyed *heir = NULL;

	if (entry->at && !list_empty(&entry->same)) {
		heir = list_entry(entry->same.next, struct keyed, same);
	} else if (entry->at) {
		/* All that is below shares the bits that lead here. */
		for (struct keyed *e = any_below(entry); e; e = any_below(e))
			heir = e;
		if (heir)
			*heir->at = NULL;
		else
			*entry->at = NULL;
	}
	if (heir)
		replace(entry, heir);
	entry->at = NULL;
	list_del(&entry->same);
}
