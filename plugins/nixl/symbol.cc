/* SPDX-License-Identifier: Apache-2.0 */
#include "symbol.h"

#include <cstring>
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace
{

/* A file in memory; what lies outside of it is NULL. */
struct image {
	const char *base = nullptr;
	uint64_t len_bytes = 0;

	const void *at(uint64_t off, uint64_t bytes) const
	{
		return off <= len_bytes && bytes <= len_bytes - off ?
			       base + off :
			       nullptr;
	}
};

bool map_file(const char *path, image *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0) {
		close(fd);
		return false;
	}
	void *base = mmap(nullptr, static_cast<size_t>(st.st_size), PROT_READ,
			  MAP_PRIVATE, fd, 0);

	close(fd);
	if (base == MAP_FAILED)
		return false;
	out->base = static_cast<const char *>(base);
	out->len_bytes = static_cast<uint64_t>(st.st_size);
	return true;
}

const Elf64_Shdr *section(const image &file, const Elf64_Ehdr *header,
			  uint64_t i)
{
	if (i >= header->e_shnum || header->e_shentsize != sizeof(Elf64_Shdr))
		return nullptr;
	return static_cast<const Elf64_Shdr *>(file.at(
		header->e_shoff + i * sizeof(Elf64_Shdr), sizeof(Elf64_Shdr)));
}

/* The symbol's size in one table; 0: it is not there. */
uint64_t find_in(const image &file, const Elf64_Shdr *table,
		 const Elf64_Shdr *strings, const char *symbol)
{
	const auto *symbols = static_cast<const Elf64_Sym *>(
		file.at(table->sh_offset, table->sh_size));
	const auto *names = static_cast<const char *>(
		file.at(strings->sh_offset, strings->sh_size));
	size_t want = strlen(symbol) + 1;

	if (!symbols || !names)
		return 0;
	for (uint64_t i = 0; i < table->sh_size / sizeof(*symbols); i++) {
		uint64_t name = symbols[i].st_name;

		if (symbols[i].st_shndx != SHN_UNDEF &&
		    name + want <= strings->sh_size &&
		    !memcmp(names + name, symbol, want))
			return symbols[i].st_size;
	}
	return 0;
}

uint64_t find(const image &file, const char *symbol)
{
	const auto *header =
		static_cast<const Elf64_Ehdr *>(file.at(0, sizeof(Elf64_Ehdr)));

	if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) ||
	    header->e_ident[EI_CLASS] != ELFCLASS64)
		return 0;
	for (uint64_t i = 0; i < header->e_shnum; i++) {
		const Elf64_Shdr *table = section(file, header, i);

		if (!table || table->sh_type != SHT_DYNSYM)
			continue;
		const Elf64_Shdr *strings =
			section(file, header, table->sh_link);

		return strings ? find_in(file, table, strings, symbol) : 0;
	}
	return 0;
}

} /* namespace */

uint64_t symbol_bytes(const char *path, const char *symbol)
{
	image file;

	if (!map_file(path, &file))
		return 0;
	uint64_t bytes = find(file, symbol);

	munmap(const_cast<char *>(file.base),
	       static_cast<size_t>(file.len_bytes));
	return bytes;
}
