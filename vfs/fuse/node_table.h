#pragma once

// Which node the kernel means by an inode number, and how often it was told of it: a node is kept
// until the kernel has forgotten it as often.

#include "vfs/fuse/slots.h"
#include "vfs/node.h"

#include <map>
#include <string>
#include <unordered_map>

namespace bulkhead::fuse {

/*
 * A node and the instance of a plugin that it belongs to. Plugins number their nodes on their own,
 * while programs take all files of a mount with the same number for one file (find reports loops,
 * tar and cp make hard links): the number they are shown has the instance in it.
 */
struct Located
{
	Ref<vfs::Node> node{};
	uint16_t instance = 0;

	uint64_t shown_inode(uint64_t inode) const
	{
		return inode ^ uint64_t { instance } << 48;
	}
};

class Node_table
{
private:
	struct Entry
	{
		Located located{};
		uint64_t lookups = 0;
	};

	Slots<Entry> _entries;
	uint64_t const _root;
	std::unordered_map<vfs::Node *, uint64_t> _numbers{};
	std::map<std::pair<uint16_t, std::string>, uint16_t> _instances{};

	Entry *_find(uint64_t number) { return _entries.find(number == ROOT ? _root : number); }

public:
	/* The number of the root, which is never forgotten (FUSE_ROOT_ID). */
	static constexpr uint64_t ROOT = 1;

	Node_table(Ref<vfs::Node> root, size_t max, uint32_t first_generation)
		: _entries(max, first_generation),
		  _root(_entries.add({.located = {std::move(root)}, .lookups = 1}))
	{
		_numbers.emplace(_entries.find(_root)->located.node.pointer(), ROOT);
	}

	/* Nodes that the kernel knows. */
	size_t size() const { return _entries.used(); }

	/* No node for a number that the kernel can't know. */
	Located find(uint64_t number)
	{
		Entry *const entry = _find(number);
		return entry ? entry->located : Located();
	}

	/*
	 * The instance of a directory's entry: the directory's own, unless the entry was put there from
	 * another plugin.
	 */
	uint16_t instance_of(Located const &directory, std::string_view name)
	{
		if (!directory.node->static_directory()) return directory.instance;
		auto const [position, added] = _instances.try_emplace(
			{directory.instance, std::string(name)}, static_cast<uint16_t>(_instances.size() + 1));
		return position->second;
	}

	/* Counts that the kernel is told of the node; 0 if the table is full. */
	uint64_t remember(Located located)
	{
		vfs::Node *const node = located.node.pointer();
		auto const known = _numbers.find(node);
		if (known != _numbers.end()) {
			++_find(known->second)->lookups;
			return known->second;
		}
		uint64_t const number = _entries.add({.located = std::move(located), .lookups = 1});
		if (number) _numbers.emplace(node, number);
		return number;
	}

	/* The kernel has forgotten the node `lookups` times. */
	void forget(uint64_t number, uint64_t lookups)
	{
		Entry *const entry = _find(number);
		if (!entry || number == ROOT || number == _root) return;
		entry->lookups -= lookups < entry->lookups ? lookups : entry->lookups;
		if (entry->lookups) return;
		_numbers.erase(entry->located.node.pointer());
		_entries.take(number);
	}
};

} // namespace bulkhead::fuse
