/* SPDX-License-Identifier: Apache-2.0 */
#include "base/keytree.h"
#include "check.h"

#define N 600u

struct item {
	struct keyed keyed;
	uint64_t key;
	uint64_t turn; /* when it was added; 0: it is not in */
};

static struct item items[N];
static struct keytree tree;
static uint64_t turn;

static void start(void)
{
	tree = (struct keytree){0};
	for (uint32_t i = 0; i < N; i++) {
		items[i] = (struct item){0};
		keyed_init(&items[i].keyed);
	}
}

static void add(struct item *item, uint64_t key)
{
	item->key = key;
	item->turn = ++turn;
	keytree_add(&tree, key, &item->keyed);
}

static void del(struct item *item)
{
	item->turn = 0;
	keytree_del(&item->keyed);
}

/* By looking at all. */
static struct item *oldest(uint64_t key)
{
	struct item *found = NULL;

	for (uint32_t i = 0; i < N; i++)
		if (items[i].turn && items[i].key == key &&
		    (!found || items[i].turn < found->turn))
			found = &items[i];
	return found;
}

static void must_find(uint64_t key)
{
	struct keyed *first = keytree_first(&tree, key);
	struct item *want = oldest(key);

	CHECK(first == (want ? &want->keyed : NULL));
}

/* All that is below is tied to what it hangs on. */
static uint32_t count(struct keyed *const *at, uint32_t depth)
{
	uint32_t n = 1;

	if (!*at)
		return 0;
	CHECK(depth <= 32);
	CHECK((*at)->at == at);
	list_for_each (node, &(*at)->same) {
		struct keyed *other = list_entry(node, struct keyed, same);

		CHECK(!other->at);
		CHECK_EQ(other->key, (*at)->key);
		n++;
	}
	for (int i = 0; i < 4; i++)
		n += count(&(*at)->below[i], depth + 1);
	return n;
}

static uint64_t few_keys(uint64_t dice)
{
	return dice % 9;
}

static uint64_t counted(uint64_t dice)
{
	return dice % 400;
}

static uint64_t high_bits(uint64_t dice)
{
	return (dice % 400) << 52;
}

static uint64_t any_bits(uint64_t dice)
{
	return (dice % 400) * 0x9e3779b97f4a7c15ull;
}

static void churn(uint64_t (*key_of)(uint64_t dice))
{
	uint64_t seed = check_seed();
	uint32_t n = 0;

	start();
	for (uint32_t round = 0; round < 20000; round++) {
		struct item *item = &items[check_rand(&seed) % N];
		uint64_t key = key_of(check_rand(&seed));

		if (item->turn) {
			key = item->key;
			del(item);
			n--;
		} else if (check_rand(&seed) % 8 > round / 2500 % 8) {
			add(item, key);
			n++;
		} else {
			keytree_del(&item->keyed); /* is in no tree */
		}
		must_find(key);
		must_find(key_of(check_rand(&seed)));
		if (round % 64 == 0)
			CHECK_EQ(count(&tree.root, 0), n);
	}
	for (uint32_t i = 0; i < N; i++)
		del(&items[i]);
	CHECK(!tree.root);
}

static void churn_few_keys(void)
{
	churn(few_keys);
}

static void churn_counted(void)
{
	churn(counted);
}

static void churn_high_bits(void)
{
	churn(high_bits);
}

static void churn_any_bits(void)
{
	churn(any_bits);
}

static void takes_from_the_root(void)
{
	uint32_t n = N;

	start();
	for (uint32_t i = 0; i < N; i++)
		add(&items[i], i % 200);
	while (tree.root) {
		struct keyed *root = tree.root;

		CHECK_EQ(count(&tree.root, 0), n--);
		keytree_del(root);
		CHECK(!root->at && list_empty(&root->same));
	}
	CHECK_EQ(n, 0);
}

static const struct check_case cases[] = {
	{"churn_few_keys", churn_few_keys, 0},
	{"churn_counted", churn_counted, 0},
	{"churn_high_bits", churn_high_bits, 0},
	{"churn_any_bits", churn_any_bits, 0},
	{"takes_from_the_root", takes_from_the_root, 0},
};

int main(int argc, char **argv)
{
	return CHECK_RUN(cases, argc, argv);
}
