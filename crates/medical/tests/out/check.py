"""Reads objects back with pydicom, highdicom and nibabel, and holds them against what was to be written.

    check.py objects FOLDER     objects in FOLDER against FOLDER/expected.json
    check.py scan FILE          makes a scan, turned and tilted, of 5 x 6 x 7 voxels
    check.py nifti FILE JSON    a volume against its values and affine
    check.py picture FILE JSON  a synthetic image against its values
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np

warnings.simplefilter("ignore")
import highdicom as hd  # noqa: E402
import pydicom  # noqa: E402


def spread(grid, rows, columns):
    """Cells to pixels: the cell that a pixel's centre falls in."""
    grid = np.array(grid, dtype=np.float32)
    y = ((np.arange(rows) + 0.5) * grid.shape[0] / rows).astype(int)
    x = ((np.arange(columns) + 0.5) * grid.shape[1] / columns).astype(int)
    return grid[np.ix_(y, x)]


def identity(made, source):
    for name in ("PatientID", "PatientName", "PatientSex", "PatientBirthDate", "StudyInstanceUID", "StudyID"):
        assert str(made.get(name, "")) == str(source.get(name, "") or ""), name
    assert made.SpecificCharacterSet == "ISO_IR 192"
    assert made.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
    assert made.file_meta.ImplementationClassUID.startswith("2.25.")
    assert made.SOPInstanceUID.is_valid and made.SeriesInstanceUID != source.SeriesInstanceUID
    assert made.Manufacturer == "medgemma-explainer"


def by_instance(targets, sources):
    """For each target, SOP instance UID to pixels."""
    found = []
    for target in targets:
        maps = {}
        for one in target["maps"]:
            source = sources[one["source"]]
            maps[source.SOPInstanceUID] = spread(one["rows"], source.Rows, source.Columns)
        found.append(maps)
    return found


def threshold(target, quantile):
    cells = np.concatenate([np.array(one["rows"], dtype=np.float32).ravel() for one in target["maps"]])
    return max(np.float32(np.quantile(cells.astype(np.float64), quantile)), np.float32(0.1) * cells.max())


def parametric(path, expected, sources):
    read = hd.pm.sop.pmread(path)
    pixels = pydicom.dcmread(path).pixel_array.reshape(-1, read.Rows, read.Columns)
    index = next(i for i, t in enumerate(expected["targets"]) if json.dumps(t["words"], ensure_ascii=False) in read.ContentDescription)
    maps = by_instance(expected["targets"], sources)[index]
    frames = read.PerFrameFunctionalGroupsSequence
    assert len(frames) == len(pixels)
    depths = []
    for frame, found in zip(frames, pixels):
        instance = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert np.array_equal(found.view(np.uint32), maps[instance].view(np.uint32)), instance
        source = next(s for s in sources if s.SOPInstanceUID == instance)
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        assert np.allclose(np.array(place, float), np.array(source.ImagePositionPatient, float))
        depths.append(place[2])
        shared = read.SharedFunctionalGroupsSequence[0]
        assert np.allclose(shared.PixelMeasuresSequence[0].PixelSpacing, source.PixelSpacing)
        assert np.allclose(shared.PlaneOrientationSequence[0].ImageOrientationPatient, source.ImageOrientationPatient)
        mapping = shared.RealWorldValueMappingSequence[0]
        assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
        assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    print(f"parametric map: {pixels.shape} floats bit-equal, depths {depths}")
    return read


def segmentation(path, expected, sources):
    read = hd.seg.segread(path)
    pixels = pydicom.dcmread(path).pixel_array.reshape(-1, read.Rows, read.Columns)
    maps = by_instance(expected["targets"], sources)
    seen = {}
    for frame, found in zip(read.PerFrameFunctionalGroupsSequence, pixels):
        number = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        words = read.get_segment_description(number).tracking_id
        index = next(i for i, t in enumerate(expected["targets"]) if t["words"] == words)
        instance = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        wanted = maps[index][instance] > threshold(expected["targets"][index], expected["quantile"])
        assert np.array_equal(found.astype(bool), wanted) and wanted.any(), (words, instance)
        seen[(words, instance)] = number
    # What is left out holds nothing.
    own = {s.SOPInstanceUID for s in sources} & {i.ReferencedSOPInstanceUID for r in read.ReferencedSeriesSequence for i in r.ReferencedInstanceSequence} if "ReferencedSeriesSequence" in read else set()
    for index, target in enumerate(expected["targets"]):
        for instance in own & set(maps[index]):
            if (target["words"], instance) not in seen:
                assert not (maps[index][instance] > threshold(target, expected["quantile"])).any()
    # highdicom puts them together again by source.
    instances = sorted({instance for _, instance in seen})
    again = read.get_pixels_by_source_instance(instances, assert_missing_frames_are_empty=True)
    for (words, instance), number in seen.items():
        index = next(i for i, t in enumerate(expected["targets"]) if t["words"] == words)
        wanted = maps[index][instance] > threshold(expected["targets"][index], expected["quantile"])
        assert np.array_equal(again[instances.index(instance), ..., list(read.segment_numbers).index(number)].astype(bool), wanted)
    description = read.get_segment_description(1)
    assert description.segmented_property_type.meaning == "Model attention"
    assert description.algorithm_identification.name == "attention relevancy"
    print(f"segmentation: {len(seen)} frames of {read.number_of_segments} segments equal, {int(pixels.sum())} pixels")
    return read


def texts(group, meaning):
    items = [i for i in group.ContentSequence if i.ConceptNameCodeSequence[0].CodeMeaning == meaning]
    return [i.TextValue for i in items if i.ValueType == "TEXT"]


def share(target, sources, inside):
    held = total = 0.0
    for one in target["maps"]:
        grid = np.array(one["rows"], dtype=np.float32).astype(float).clip(0)
        total += grid.sum()
        held += (grid * inside(one)).sum()
    return held / total


def report(path, expected, sources, segmentations):
    read = hd.sr.srread(path)
    assert isinstance(read, hd.sr.Comprehensive3DSR)
    content = read.content
    assert isinstance(content, hd.sr.MeasurementReport), type(content)
    planar = content.get_planar_roi_measurement_groups()
    volumetric = content.get_volumetric_roi_measurement_groups()
    groups = planar + volumetric
    assert len(groups) >= len(expected["targets"])
    uids = set()
    for target in expected["targets"]:
        own = [g for g in groups if g.tracking_identifier == target["words"]]
        assert own, target["words"]
        for group in own:
            uids.add(group.tracking_uid)
            numbers = {m.name.meaning: m.value for m in group.get_measurements()}
            exact = {}
            for item in group[0].ContentSequence:
                if item.ValueType == "NUM":
                    value = item.MeasuredValueSequence[0]
                    name = item.ConceptNameCodeSequence[0].CodeMeaning
                    exact[name] = value.get("FloatingPointValue", float(value.NumericValue))
                    assert np.isclose(numbers[name], exact[name], rtol=1e-4), name
            assert exact["Probability of the words"] == target["probability"]
            assert exact.get("Contribution of the pictures") == target["contribution"]
            assert exact.get("Certificate: symmetric relevance gain") == target["srg"]
            assert exact.get("Certificate: p-value") == target["p"]
            assert texts(group[0], "Explained words") == [target["words"]]
            assert texts(group[0], "Sentence of the answer") == [target["sentence"]]
            assert group.finding_type.meaning == "Model attention"
            assert "attention relevancy" in texts(group[0], "Algorithm Name")
            assert len(texts(group[0], "Algorithm Parameters")) == 3
            found = exact["Share of the relevancy in the region"]
            bar = threshold(target, expected["quantile"])
            if group in planar:
                region = group.roi
                line = np.array(region.value)
                assert line.shape == (5, 2) and (line[0] == line[-1]).all()
                image = region.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
                source_index = next(i for i, s in enumerate(sources) if s.SOPInstanceUID == image)
                source = sources[source_index]
                one = next(m for m in target["maps"] if m["source"] == source_index)
                grid = np.array(one["rows"], dtype=np.float32)
                (left, top), (right, bottom) = line.min(0), line.max(0)
                rows, columns = grid.shape
                y, x = np.unravel_index(grid.argmax(), grid.shape)
                assert left <= (x + 0.5) * source.Columns / columns <= right
                assert top <= (y + 0.5) * source.Rows / rows <= bottom
                centres_y = (np.arange(rows) + 0.5) * source.Rows / rows
                centres_x = (np.arange(columns) + 0.5) * source.Columns / columns
                box = np.outer((centres_y > top) & (centres_y < bottom), (centres_x > left) & (centres_x < right))
                wanted = share(target, sources, lambda m: box if m["source"] == source_index else 0)
                print(f"report: {target['words']}: region {left:.2f} {top:.2f} {right:.2f} {bottom:.2f}, share {found:.4f}")
            else:
                assert group.referenced_segment is not None
                item = [i for i in group[0].ContentSequence if i.ValueType == "IMAGE" and i.ConceptNameCodeSequence[0].CodeMeaning == "Referenced Segment"][0]
                referred = item.ReferencedSOPSequence[0]
                seg = next(s for s in segmentations if s.SOPInstanceUID == referred.ReferencedSOPInstanceUID)
                number = referred.ReferencedSegmentNumber
                assert seg.get_segment_description(number).tracking_uid == group.tracking_uid
                wanted = share(target, sources, lambda m: np.array(m["rows"], dtype=np.float32) > bar)
                print(f"report: {target['words']}: segment {number}, share {found:.4f}")
            assert np.isclose(found, wanted, rtol=1e-9), (found, wanted)
    assert len(uids) == len({(g.tracking_identifier, g.tracking_uid) for g in groups})
    flat = hd.sr.utils.find_content_items(read, value_type=hd.sr.ValueTypeValues.TEXT, recursive=True)
    said = {i.name.meaning: i.value for i in flat}
    assert said["Answer of the model"] == expected["answer"]
    assert said["Question to the model"] == expected["question"]
    assert said["Caution"] == "not for diagnostic use"
    evidence = set()
    for name in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in read.get(name, []):
            for series in study.ReferencedSeriesSequence:
                evidence |= {(study.StudyInstanceUID, i.ReferencedSOPInstanceUID) for i in series.ReferencedSOPSequence}
    assert {(s.StudyInstanceUID, s.SOPInstanceUID) for s in sources} <= evidence
    used = {i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in hd.sr.utils.find_content_items(read, value_type=hd.sr.ValueTypeValues.IMAGE, recursive=True)}
    assert used <= {instance for _, instance in evidence}
    return read


def capture(path, sources):
    read = pydicom.dcmread(path)
    assert read.BurnedInAnnotation == "YES" and read.ConversionType == "WSD"
    assert "not for diagnostic use" in read.DerivationDescription
    assert {i.ReferencedSOPInstanceUID for i in read.SourceImageSequence} <= {s.SOPInstanceUID for s in sources}
    print(f"capture: {read.pixel_array.shape}, {read.DerivationDescription}")
    return read


def objects(folder):
    expected = json.loads((folder / "expected.json").read_text())
    sources = [pydicom.dcmread(path, stop_before_pixels=True) for path in expected["sources"]]
    made = [capture(path, sources) for path in sorted(folder.glob("capture-*.dcm"))]
    made += [parametric(path, expected, sources) for path in sorted(folder.glob("parametric-map-*.dcm"))]
    segmentations = [segmentation(path, expected, sources) for path in sorted(folder.glob("segmentation-*.dcm"))]
    made += segmentations
    made += [report(path, expected, sources, segmentations) for path in sorted(folder.glob("report-*.dcm"))]
    for one in made:
        identity(one, sources[0])
    assert len({one.SOPInstanceUID for one in made}) == len(made)


def scan(path):
    import nibabel

    turn = nibabel.eulerangles.euler2mat(0.3, -0.2, 2.5)
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([0.7, 1.1, 2.5])
    affine[:3, 3] = [-12.5, 33.25, 7]
    kind = nibabel.Nifti1Header(endianness=">" if "big" in path.name else "<")
    made = nibabel.Nifti1Image(np.arange(210, dtype=np.int16).reshape(5, 6, 7), affine, kind)
    made.set_sform(affine, 2)
    made.set_qform(affine, 1)
    made.header.set_xyzt_units("mm", "sec")
    made.header["descrip"] = b"Somebody^Else"
    nibabel.save(made, path)


def nifti(path, expected):
    import nibabel

    expected = json.loads(expected.read_text())
    read = nibabel.load(path)
    values = np.asarray(read.dataobj)
    wanted = np.array(expected["values"], dtype=np.float32)
    assert read.header.get_data_dtype().newbyteorder("=") == np.float32
    assert (read.dataobj.slope, read.dataobj.inter) == (1, 0)
    assert values.shape == wanted.shape, (values.shape, wanted.shape)
    assert np.array_equal(values, wanted)
    if "like" in expected:
        like = nibabel.load(expected["like"])
        assert np.array_equal(read.affine, like.affine), (read.affine, like.affine)
        for name in ("sform_code", "qform_code", "xyzt_units", "quatern_b", "qoffset_x", "srow_y"):
            assert np.array_equal(read.header[name], like.header[name]), name
        assert np.array_equal(read.header.get_zooms()[:3], like.header.get_zooms()[:3])
        assert b"Somebody" not in read.header.binaryblock
    else:
        assert np.allclose(read.affine, expected["affine"], atol=1e-4), read.affine
        assert np.allclose(read.get_qform(), expected["affine"], atol=1e-4), read.get_qform()
        assert int(read.header["sform_code"]) == 1 and int(read.header["qform_code"]) == 1
    print(f"nifti: {values.shape} equal, {nibabel.aff2axcodes(read.affine)}")


def picture(path, expected):
    expected = json.loads(expected.read_text())
    read = pydicom.dcmread(path)
    wanted = np.array(expected["stored"]).reshape(read.Rows, read.Columns)
    assert np.array_equal(read.pixel_array, wanted)
    for name, value in expected["attributes"].items():
        found = read.get(name)
        assert (list(map(str, found)) if isinstance(value, list) else str(found)) == value, (name, found, value)


if __name__ == "__main__":
    command, *paths = sys.argv[1:]
    {"objects": objects, "nifti": nifti, "scan": scan, "picture": picture}[command](*map(Path, paths))
