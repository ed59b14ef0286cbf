"""Steps that are recorded and replayed answer as steps that are run one by one."""

from dataclasses import replace

import pytest
import torch
from decoder_models import make_model
from family_toys import QUESTION, host_of, tokens_of, variant_of

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.hosts.load_options import LoadOptions
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.decoder.recorded_steps import MOST_PLACES, RecordedSteps
from geofovea.pipeline.inference.decoder.run import DecoderRun
from geofovea.pipeline.inference.prompts.batch import PromptBatch
from pretend_device import PretendDevice, to_device

OTHER = "how many objects are at the airport ?"
FAMILIES = ("llava", "qwen2_5_vl", "qwen3_vl_moe", "glm4v")


def as_it_is(step, device):
    return step


def with_records(host, record):
    """The same host, whose steps go through a recorder."""
    host._writer = replace(host._writer, recorded=RecordedSteps(host.decoder, record))
    return host


def prompts_of(host):
    """Two questions of unlike lengths with tokens of their own."""
    tokens = tokens_of(host)
    few = tokens.select(torch.arange(0, len(tokens), 3))
    return [Prompt(QUESTION, tokens), Prompt(OTHER, few)]


def check_same(found, expected):
    """Compare answers; the number of words in the longest."""
    for one, other in zip(found, expected, strict=True):
        assert one.text == other.text
        assert one.log_probabilities == pytest.approx(other.log_probabilities, abs=1e-5)
    return max(len(each.log_probabilities) for each in expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_replayed_answers_are_those_of_single_steps_alone_and_together(family):
    plain, recorded = host_of(family), with_records(host_of(family), as_it_is)
    prompts = prompts_of(plain)
    lengths = [
        check_same(recorded.generate_together(some), plain.generate_together(some))
        for some in (prompts[:1], prompts, prompts[1:])
    ]
    # steps are replayed from the second word on
    assert max(lengths) > 2


@pytest.mark.slow
def test_a_step_is_one_graph_of_fixed_shapes_whatever_is_asked():
    """``torch.compile`` refuses a step that would look at a number, and counts what it makes."""
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    def record(step, device):
        return torch.compile(step, fullgraph=True, backend=backend)

    torch._dynamo.reset()
    plain, recorded = host_of("qwen2_5_vl"), with_records(host_of("qwen2_5_vl"), record)
    with torch._dynamo.config.patch(error_on_recompile=True):
        lengths = [
            check_same(recorded.generate_together([prompt]), plain.generate_together([prompt]))
            for prompt in prompts_of(plain)
        ]
    assert max(lengths) > 2
    assert len(graphs) == 1
    torch._dynamo.reset()


def test_a_step_waits_for_nothing():
    with PretendDevice() as device:
        # a model of its own, for the others stay where they are
        host = variant_of("llava")
        to_device(host._model)
        tokens = tokens_of(host)
        counts = []

        def record(step, _):
            def counted():
                before = device.waits.total()
                states = step()
                counts.append(device.waits.total() - before)
                return states

            return counted

        with_records(host, record).generate(QUESTION, tokens)
    assert set(counts) == {0}


def test_a_prompt_that_is_too_long_is_answered_step_by_step():
    host = host_of("llava")
    recorded = RecordedSteps(host.decoder, as_it_is)
    run = DecoderRun(host.decoder, PromptBatch.of([sequence_of(host)]), MOST_PLACES, recorded)
    run.prefill()
    with torch.inference_mode():
        run.advance(torch.zeros(1, 1, host.decoder.config.hidden_size))
    assert run._cache.get_seq_length() == len(sequence_of(host)) + 1


def sequence_of(host):
    return host._prompts.layout.sequence(host._prompts.words.ids(QUESTION), tokens_of(host))


def test_steps_that_differ_from_each_other_are_refused():
    model = make_model("qwen2")
    model.config.sliding_window = 16
    model.config.layer_types = ["sliding_attention"] * model.config.num_hidden_layers
    with pytest.raises(ModelError, match="leave out compile_decode"):
        RecordedSteps(model.model)


def test_without_a_gpu_nothing_is_recorded(tiny_folder):
    with pytest.raises(ModelError, match="records a CUDA graph, and the device is 'cpu'"):
        load_host(str(tiny_folder), "cpu", compile_decode=True)
    with pytest.raises(ModelError, match="leave out the device_map and the quantization"):
        LoadOptions("cuda", quantization="4bit", compile_decode=True).check_recordable()
    LoadOptions("cuda", compile_decode=True).check_recordable()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="records on a GPU")
@pytest.mark.parametrize("family", FAMILIES)
def test_a_cuda_graph_answers_as_single_steps_do(family):
    plain = host_of(family)
    plain._model.to("cuda")
    prompts = prompts_of(plain)
    expected = [plain.generate_together(some) for some in (prompts, prompts[:1], prompts[1:])]
    recorded = host_of(family)
    recorded._writer = replace(recorded._writer, recorded=RecordedSteps(recorded.decoder))
    found = [recorded.generate_together(some) for some in (prompts, prompts[:1], prompts[1:])]
    lengths = [check_same(one, other) for one, other in zip(found, expected, strict=True)]
    assert max(lengths) > 2
    plain._model.to("cpu")
