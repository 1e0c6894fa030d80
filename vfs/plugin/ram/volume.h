#pragma once

// What the nodes of one file system in memory share: memory, limits, numbers.

#include "vfs/entries.h"
#include "vfs/permission.h"
#include "vfs/plugin/ram/budget.h"
#include "vfs/plugin/ram/ram.h"

namespace bulkhead::vfs {

class Ram_node;

/* Lives as long as one of its nodes. */
class Ram_volume final : public Counted
{
private:
	Ram_node *_dead = nullptr;
	bool _burying = false;
	uint64_t _last_inode = 0;

protected:
	void unreferenced() override { destroy(allocator, *this); }

public:
	Allocator &allocator;
	Calendar const &calendar;
	Budget bytes;
	Budget nodes;

	Ram_volume(Allocator &a, Calendar const &c, Ram_limits const &limits)
		: allocator(a), calendar(c), bytes(limits.bytes), nodes(limits.nodes)
	{}

	uint64_t next_inode() { return ++_last_inode; }

	/*
	 * Destroys a node that nobody refers to. The nodes that it referred to follow one after the
	 * other, so that a deep tree takes no stack.
	 */
	void bury(Ram_node &);

	/* What an entry of a directory counts against the limit. */
	static uint64_t cost_of(std::string_view name) { return sizeof(Entry) + name.size(); }
};

} // namespace bulkhead::vfs
