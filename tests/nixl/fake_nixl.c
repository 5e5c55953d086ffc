/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands for libnixl.so in tests of the guard: calls a plugin's init from
 * inside of itself. AGENT_SYMBOL: with the symbol that came with NIXL 1.0.0.
 * TABLE_WORDS: a plugin instead, with a table of that many words.
 */
#ifdef TABLE_WORDS
void *_ZTV17nixlBackendEngine[TABLE_WORDS];
#else

void *fake_init(void *(*init)(void));
void *fake_init(void *(*init)(void))
{
	void *plugin = init();

	/* Not a tail call: the caller is to be found in here. */
	__asm__ volatile("" : : "r"(plugin) : "memory");
	return plugin;
}

#ifdef AGENT_SYMBOL
void _ZNK9nixlAgent11prepMemViewERK12nixlDescListI13nixlBasicDescERPvPK21nixlAgentOptionalArgs(
	void);
void _ZNK9nixlAgent11prepMemViewERK12nixlDescListI13nixlBasicDescERPvPK21nixlAgentOptionalArgs(
	void)
{
}
#endif
#endif
