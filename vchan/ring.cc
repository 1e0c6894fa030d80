#include "vchan/ring.h"

namespace bulkhead::vchan {
namespace {

// The part of `pieces` behind its first `n` bytes, up to the next seam.
template <typename VIEW>
VIEW rest(Pieces<VIEW> const &pieces, size_t n)
{
	size_t const first = pieces.first.size();
	return n < first ? pieces.first.subspan(n) : pieces.second.subspan(n - first);
}

} // namespace

template <typename BYTE, Error LIE>
Ring_end<BYTE, LIE>::Ring_end(std::span<BYTE> ring, Word &own, Word const &peer, uint32_t first)
	: _ring(ring),
	  _own_word(own),
	  _peer_word(peer),
	  _own(first),
	  _limit(PRODUCES ? first + static_cast<uint32_t>(ring.size()) : first)
{
	BULKHEAD_ASSERT(valid_size(ring.size()));
}

template <typename BYTE, Error LIE>
Attempt<size_t, Error> Ring_end<BYTE, LIE>::available(size_t wanted)
{
	if (_broken) return LIE;
	if (_known() >= std::min(wanted, _ring.size())) return _known();
	// Acquire: the peer's reads of what it gave back come before our writes to it; the number of
	// what it wrote comes before our reads of that.
	uint32_t const peer = _peer_word.load(std::memory_order_acquire);
	uint32_t const limit = PRODUCES ? peer + static_cast<uint32_t>(_ring.size()) : peer;
	// It can only have added what wasn't available.
	if (limit - _limit > _ring.size() - _known()) {
		_broken = true;
		return LIE;
	}
	_limit = limit;
	return _known();
}

template <typename BYTE, Error LIE>
Attempt<Pieces<std::span<BYTE>>, Error> Ring_end<BYTE, LIE>::view(size_t max)
{
	size_t const known = TRY(available(max));
	if (_ring.empty()) return Pieces<std::span<BYTE>>{}; // there is no position
	size_t const position = _own & (_ring.size() - 1);
	size_t const size = std::min(max, known);
	size_t const first = std::min(size, _ring.size() - position);
	return Pieces<std::span<BYTE>>{_ring.subspan(position, first), _ring.first(size - first)};
}

template <typename BYTE, Error LIE>
void Ring_end<BYTE, LIE>::commit(size_t n)
{
	BULKHEAD_ASSERT(n <= _known());
	if (n == 0) return;
	_own += static_cast<uint32_t>(n);
	// Release: what we wrote before its number; our reads before the room is the peer's again.
	_own_word.store(_own, std::memory_order_release);
}

template <typename BYTE, Error LIE>
Attempt<size_t, Error> Ring_end<BYTE, LIE>::transfer(std::span<Caller_view const> views)
{
	Pieces<std::span<BYTE>> const there = TRY(view(total(views)));
	size_t done = 0;
	for (Caller_view caller : views) {
		while (!caller.empty() && done < there.size()) {
			size_t n = 0;
			if constexpr (PRODUCES)
				n = copy_bytes(rest(there, done), caller);
			else
				n = copy_bytes(caller, rest(there, done));
			caller = caller.subspan(n);
			done += n;
		}
	}
	// The compiler must use the copy: it can't fetch from shared memory a second time.
	std::atomic_signal_fence(std::memory_order_seq_cst);
	commit(done);
	return done;
}

template class Ring_end<uint8_t, Error::PEER_CONSUMED_TOO_MUCH>;
template class Ring_end<uint8_t const, Error::PEER_PRODUCED_TOO_MUCH>;

} // namespace bulkhead::vchan
